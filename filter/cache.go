package filter

import (
	"container/list"
	"sync"
)

// DefaultCacheEntries is how many filters, and how many transforms, a [Cache] keeps unless told otherwise.
const DefaultCacheEntries = 4096

// entryBytes is how much memory one of the entries may keep on average, as it is estimated: short expressions keep far
// less, but one of 16 KiB may keep 23 MiB, and thousands of those nobody has room for.
const entryBytes = 64 << 10

// Cache keeps compiled expressions by their source, the ones used last, so that many webhooks need not be many compiled
// programs. It is safe for concurrent use. Errors are not kept.
type Cache struct {
	filters    lru[*Filter]
	transforms lru[*Transform]
}

// NewCache makes a cache for so many filters and as many transforms; 0 is [DefaultCacheEntries].
func NewCache(entries int) *Cache {
	if entries <= 0 {
		entries = DefaultCacheEntries
	}
	return &Cache{
		filters:    newLRU(entries, func(f *Filter) int { return f.bytes }),
		transforms: newLRU(entries, func(t *Transform) int { return t.bytes }),
	}
}

// Filter is [Compile], unless the source was compiled before.
func (c *Cache) Filter(source string) (*Filter, error) { return c.filters.get(source, Compile) }

// Transform is [CompileTransform], unless the source was compiled before.
func (c *Cache) Transform(source string) (*Transform, error) {
	return c.transforms.get(source, CompileTransform)
}

type lru[V any] struct {
	mu      *sync.Mutex
	entries int
	size    func(V) int // the estimate of what a value keeps; nil if that is not bounded
	bytes   *int        // of all there is
	order   *list.List  // of lruEntry[V], the one used last in front
	byKey   map[string]*list.Element
}

type lruEntry[V any] struct {
	key   string
	value V
}

func newLRU[V any](entries int, size func(V) int) lru[V] {
	return lru[V]{
		mu: new(sync.Mutex), entries: entries, size: size, bytes: new(int), order: list.New(),
		byKey: map[string]*list.Element{},
	}
}

func (l *lru[V]) get(key string, make func(string) (V, error)) (V, error) {
	l.mu.Lock()
	if e, ok := l.byKey[key]; ok {
		l.order.MoveToFront(e)
		value := e.Value.(lruEntry[V]).value
		l.mu.Unlock()
		return value, nil
	}
	l.mu.Unlock()
	// Made without the lock: two may make the same at once, which costs less than all of them waiting.
	value, err := make(key)
	if err != nil {
		return value, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if e, ok := l.byKey[key]; ok {
		return e.Value.(lruEntry[V]).value, nil
	}
	l.byKey[key] = l.order.PushFront(lruEntry[V]{key, value})
	if l.size != nil {
		*l.bytes += l.size(value)
	}
	for l.order.Len() > l.entries || *l.bytes > l.entries*entryBytes && l.order.Len() > 1 {
		oldest := l.order.Back()
		entry := oldest.Value.(lruEntry[V])
		delete(l.byKey, entry.key)
		l.order.Remove(oldest)
		if l.size != nil {
			*l.bytes -= l.size(entry.value)
		}
	}
	return value, nil
}
