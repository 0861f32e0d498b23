package event

import (
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestCursorGolden(t *testing.T) {
	for c, text := range map[Cursor]string{
		0: "0000000000000", 1: "0000000000001", 42: "000000000001a", MaxCursor: "7vvvvvvvvvvvv",
		FirstOfEpoch(1): "0008000000000", FirstOfEpoch(1) + 31: "000800000000v",
	} {
		if got := c.String(); got != text {
			t.Errorf("%d is %s, want %s", c, got, text)
		}
		if got, err := ParseCursor(text); got != c || err != nil {
			t.Errorf("%s is %d, want %d: %v", text, got, c, err)
		}
	}
	if e := (FirstOfEpoch(7) + 5).Epoch(); e != 7 {
		t.Errorf("epoch is %d", e)
	}
}

func TestCursorTextsSortAsCursors(t *testing.T) {
	cursor := rapid.Uint64Range(0, uint64(MaxCursor))
	rapid.Check(t, func(t *rapid.T) {
		a, b := Cursor(cursor.Draw(t, "a")), Cursor(cursor.Draw(t, "b"))
		if strings.Compare(a.String(), b.String()) != cmp.Compare(a, b) {
			t.Errorf("%d and %d are %s and %s", a, b, a, b)
		}
		if got, err := ParseCursor(a.String()); got != a || err != nil {
			t.Errorf("%d became %d: %v", a, got, err)
		}
	})
}

var badCursors = []string{
	"", "0", "00000000000000", "000000000000", "000000000000V", "000000000000w", "8000000000000", "vvvvvvvvvvvvv",
	"-000000000001", "000000000000\x00", "000000000000 ", "00000000000é",
}

func TestTextsThatAreNone(t *testing.T) {
	for _, s := range badCursors {
		if _, err := ParseCursor(s); !errors.Is(err, ErrCursor) {
			t.Errorf("cursor %q: %v", s, err)
		}
	}
	good := NewID().String()
	bad := []string{
		"", good[:35], good + "0", "{" + good + "}", "urn:uuid:" + good, strings.ReplaceAll(good, "-", ""),
		strings.ReplaceAll(good, "-", "_"), "g" + good[1:], strings.Repeat("0", 36),
	}
	for _, s := range bad {
		if _, err := ParseID(s); !errors.Is(err, ErrID) {
			t.Errorf("id %q: %v", s, err)
		}
		if _, err := ParseDeliveryID("0000000000001-" + s); !errors.Is(err, ErrID) {
			t.Errorf("delivery of %q: %v", s, err)
		}
	}
	for _, s := range append(badCursors, "0000000000001"+good) {
		if _, err := ParseDeliveryID(s + "-" + good); !errors.Is(err, ErrCursor) {
			t.Errorf("delivery at %q: %v", s, err)
		}
	}
}

func TestIDs(t *testing.T) {
	ids := make([]ID, 1000)
	for i := range ids {
		ids[i] = NewID()
	}
	if !slices.IsSortedFunc(ids, func(a, b ID) int { return strings.Compare(a.String(), b.String()) }) {
		t.Error("ids do not grow")
	}
	if len(slices.Compact(slices.Clone(ids))) != len(ids) {
		t.Error("ids repeat")
	}
	id := ids[0]
	if id.String()[14] != '7' || id.IsZero() || !(ID{}).IsZero() {
		t.Errorf("%s is no UUIDv7", id)
	}
	if got, err := ParseID(strings.ToUpper(id.String())); got != id || err != nil {
		t.Errorf("in upper case: %s, %v", got, err)
	}
}

func TestIDsAsJSON(t *testing.T) {
	type ids struct {
		ID       ID
		Cursor   Cursor
		Delivery DeliveryID
	}
	in := ids{NewID(), 42, DeliveryID{43, NewID()}}
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"ID":"` + in.ID.String() + `","Cursor":"000000000001a","Delivery":"000000000001b-` + in.Delivery.Webhook.String() + `"}`
	if string(text) != want {
		t.Errorf("got %s, want %s", text, want)
	}
	var out ids
	if err := json.Unmarshal(text, &out); err != nil || out != in {
		t.Errorf("got %+v, %v", out, err)
	}
	for _, bad := range []string{`{"ID":"x"}`, `{"Cursor":"x"}`, `{"Delivery":"x"}`, `{"Cursor":42}`} {
		if err := json.Unmarshal([]byte(bad), &out); err == nil {
			t.Errorf("accepted %s", bad)
		}
	}
}

func FuzzParseCursor(f *testing.F) {
	for _, s := range append(badCursors, "7vvvvvvvvvvvv", "0000000000001") {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseCursor(s)
		if err == nil && (c.String() != s || c > MaxCursor) {
			t.Errorf("%q is %s", s, c)
		}
		if err != nil && !errors.Is(err, ErrCursor) {
			t.Errorf("%q: %v", s, err)
		}
	})
}

func FuzzParseID(f *testing.F) {
	f.Add("0197c1f2-0000-7000-8000-000000000001")
	f.Add("{0197c1f2-0000-7000-8000-000000000001}")
	f.Add("0197C1F2-0000-7000-8000-00000000000g")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseID(s)
		if err == nil && id.String() != strings.ToLower(s) {
			t.Errorf("%q is %s", s, id)
		}
	})
}

func FuzzParseDeliveryID(f *testing.F) {
	f.Add("0000000000001-0197c1f2-0000-7000-8000-000000000001")
	f.Add("0000000000001--0197c1f2-0000-7000-8000-00000000000")
	f.Add("-")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseDeliveryID(s)
		if err == nil && !strings.EqualFold(id.String(), s) {
			t.Errorf("%q is %s", s, id)
		}
	})
}
