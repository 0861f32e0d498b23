package sqlite

import (
	"errors"
	"testing"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// FuzzPlace reads page tokens of deliveries: what is read is written the same.
func FuzzPlace(f *testing.F) {
	for _, token := range []string{"", ".", "0", "1", "0000000000001.1", "0000000000001.+1", "0000000000001.01",
		"0000000000001.-1", "0000000000001.", deliveryPlace{event.MaxCursor, 1<<63 - 1}.String()} {
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		place, err := parsePlace(token)
		switch {
		case err == nil && place.String() != token:
			t.Errorf("%q was read as %q", token, place)
		case err == nil && place.num < 1:
			t.Errorf("%q was read as a place before every row", token)
		case err != nil && !errors.Is(err, store.ErrPage):
			t.Errorf("%q: %v", token, err)
		}
	})
}
