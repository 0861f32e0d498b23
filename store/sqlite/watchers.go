package sqlite

import (
	"slices"
	"sync"
)

// watchers are told of changes, those that came first first. Whoever makes changes visible holds mu meanwhile and then
// tells: so that what they hear is in order, nothing is missing between what one is told at first and what follows, and
// stop can wait for them.
type watchers[T any] struct {
	mu   sync.Mutex
	list []*func([]T)
}

// tell calls each of them, if there is anything to tell. mu is held.
func (w *watchers[T]) tell(changes []T) {
	if len(changes) == 0 {
		return
	}
	for _, changed := range w.list {
		(*changed)(changes)
	}
}

// watch adds one, which is told first of all that there is. When stop has returned it is not called any more.
func (w *watchers[T]) watch(changed func([]T), all func() []T) (stop func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	one := &changed
	w.list = append(w.list, one)
	changed(all())
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if at := slices.Index(w.list, one); at >= 0 {
			w.list = slices.Delete(w.list, at, at+1)
		}
	}
}
