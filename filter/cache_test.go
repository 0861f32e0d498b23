package filter

import (
	"errors"
	"fmt"
	"sync"
	"testing"
)

func TestCacheKeepsTheLastOnes(t *testing.T) {
	c := NewCache(2)
	get := func(source string) *Filter {
		t.Helper()
		f, err := c.Filter(source)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	a, b := get(`topic == "a"`), get(`topic == "b"`)
	if get(`topic == "a"`) != a || get(`topic == "b"`) != b || a == b {
		t.Error("a filter was compiled again, or mixed up")
	}
	get(`topic == "a"`)
	get(`topic == "c"`)
	if get(`topic == "a"`) != a {
		t.Error("the one used last is gone")
	}
	if get(`topic == "b"`) == b {
		t.Error("the one not used for longest is kept")
	}
	if n := len(c.filters.byKey); n != 2 || c.filters.order.Len() != 2 {
		t.Errorf("%d entries are kept, want 2", n)
	}

	tr, err := c.Transform(`.a`)
	if again, err2 := c.Transform(`.a`); err != nil || err2 != nil || again != tr {
		t.Errorf("a transform was compiled again: %v, %v", err, err2)
	}
	var syntax *SyntaxError
	if f, err := c.Filter(`nope`); !errors.As(err, &syntax) || f != nil {
		t.Errorf("%v, %v", f, err)
	}
	if tr, err := c.Transform(`nope`); !errors.As(err, &syntax) || tr != nil {
		t.Errorf("%v, %v", tr, err)
	}
	if len(c.filters.byKey) != 2 || len(c.transforms.byKey) != 1 {
		t.Error("errors are kept")
	}
}

func TestCacheInManyHands(t *testing.T) {
	c := NewCache(8)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 40 {
				source := fmt.Sprintf(`topic == "%d"`, (g+i)%12)
				if _, err := c.Filter(source); err != nil {
					t.Error(err)
				}
				if _, err := c.Transform(source[len("topic == "):]); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := len(c.filters.byKey); n > 8 || n != c.filters.order.Len() {
		t.Errorf("%d entries", n)
	}
	if got := NewCache(0).filters.entries; got != DefaultCacheEntries {
		t.Errorf("%d entries by default", got)
	}
}
