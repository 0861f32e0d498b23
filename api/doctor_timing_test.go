package api

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// flushes is a client that notes when something was sent to it.
type flushes struct {
	*httptest.ResponseRecorder
	begun time.Time
	at    []time.Duration
	fails error // what writing fails with
}

func (f *flushes) Write(p []byte) (int, error) {
	if f.fails != nil {
		return 0, f.fails
	}
	return f.ResponseRecorder.Write(p)
}

// FlushError is for [http.ResponseController].
func (f *flushes) FlushError() error {
	f.at = append(f.at, time.Since(f.begun))
	return nil
}

func TestDoctorKeepsItsPlan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &flushes{ResponseRecorder: httptest.NewRecorder(), begun: time.Now()}
		plan := doctorPlan{Ticks: 3, Interval: span(250 * time.Millisecond), Silence: span(70 * time.Second)}
		d := doctor{w: client, control: http.NewResponseController(client), plan: plan}
		d.begin()
		if err := d.run(t.Context(), doctorArrival{Plan: plan}); err != nil {
			t.Fatal(err)
		}
		const ms = time.Millisecond
		if want := []time.Duration{0, 250 * ms, 500 * ms, 750 * ms, 70750 * ms}; !slices.Equal(client.at, want) {
			t.Errorf("sent at %v, want %v", client.at, want)
		}
		if got := plan.length(); got != 70750*ms {
			t.Errorf("the plan's length is %s", got)
		}
	})
}

func TestDoctorEndsWithItsContextAndWithItsClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plan := doctorPlan{Ticks: 1, Interval: span(time.Second), Silence: span(150 * time.Second)}
		for _, after := range []time.Duration{500 * time.Millisecond, 10 * time.Second} {
			ctx, cancel := context.WithTimeout(t.Context(), after)
			client := &flushes{ResponseRecorder: httptest.NewRecorder(), begun: time.Now()}
			d := doctor{w: client, control: http.NewResponseController(client), plan: plan}
			if err := d.run(ctx, doctorArrival{Plan: plan}); err != nil {
				t.Error(err)
			}
			cancel()
			if got := time.Since(client.begun); got != after {
				t.Errorf("it ended after %s, want %s", got, after)
			}
			if text := client.Body.String(); !strings.HasSuffix(text, "event: done\ndata: {\"status\":\"stopping\"}\n\n") {
				t.Errorf("its last words: %s", text)
			}
		}

		gone := errors.New("gone")
		client := &flushes{ResponseRecorder: httptest.NewRecorder(), begun: time.Now(), fails: gone}
		d := doctor{w: client, control: http.NewResponseController(client), plan: plan}
		if err := d.run(t.Context(), doctorArrival{Plan: plan}); !errors.Is(err, gone) {
			t.Errorf("it ended with %v", err)
		}
		if got := time.Since(client.begun); got != 0 {
			t.Errorf("it went on for %s", got)
		}
	})
}
