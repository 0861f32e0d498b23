package storetest

import (
	"errors"
	"slices"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// checkPages reads a list in pages of three, before and after a reopening, and holds it to take no tokens but its own.
func (h *harness) checkPages(want []event.ID, list func(store.Page) (ids []event.ID, next string, err error)) {
	h.Helper()
	const limit = 3
	for range 2 {
		var got []event.ID
		for page := (store.Page{Limit: limit}); ; {
			ids, next, err := list(page)
			h.check(err)
			if len(ids) > limit || len(ids) == 0 && page.Token != "" {
				h.Errorf("a page of %d", len(ids))
			}
			got = append(got, ids...)
			if page.Token = next; next == "" {
				break
			}
		}
		if !slices.Equal(got, want) {
			h.Errorf("got %v, want %v", got, want)
		}
		h.reopen()
	}
	for _, token := range []string{"?", "0", "-1", "+2", "02", "a"} {
		if _, _, err := list(store.Page{Limit: limit, Token: token}); !errors.Is(err, store.ErrPage) {
			h.Errorf("a foreign token, %s: %v", token, err)
		}
	}
}
