package event

import (
	"strings"
	"testing"
)

func FuzzTraceparent(f *testing.F) {
	f.Add("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	f.Add("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more")
	f.Fuzz(func(t *testing.T, s string) {
		if ValidTraceparent(s) && (len(s) < 55 || len(s) > 256 || strings.ToLower(s[:55]) != s[:55] || s[:2] == "ff") {
			t.Errorf("%q is let through", s)
		}
	})
}
