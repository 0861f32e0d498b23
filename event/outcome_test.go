package event

import (
	"slices"
	"testing"
)

func TestOutcomeNames(t *testing.T) {
	// Stored by number and spoken of by name: neither may change.
	want := []string{
		"success", "dns", "connect", "tls", "address-blocked", "timeout", "reset", "answer-too-large", "status-3xx",
		"status-4xx", "status-5xx", "throttled", "auth",
	}
	var got []string
	for i, o := range Outcomes() {
		if int(o) != i+1 {
			t.Errorf("%s is number %d", o, o)
		}
		got = append(got, o.String())
		parsed, err := ParseErrorClass(o.String())
		if o == Success {
			if err == nil {
				t.Error("success is an error class")
			}
		} else if parsed != o || err != nil {
			t.Errorf("%s reads back as %s, %v", o, parsed, err)
		}
		if text, err := o.MarshalText(); string(text) != o.String() || err != nil {
			t.Errorf("%s marshals as %s, %v", o, text, err)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, s := range []string{"", "DNS", "status-2xx"} {
		if o, err := ParseErrorClass(s); err == nil {
			t.Errorf("%q is %s", s, o)
		}
	}
}

func TestOutcomeOfStatus(t *testing.T) {
	for status, want := range map[int]Outcome{
		200: Success, 204: Success, 299: Success, 300: ErrStatus3xx, 304: ErrStatus3xx, 399: ErrStatus3xx, 400: ErrStatus4xx,
		410: ErrStatus4xx, 428: ErrStatus4xx, 429: ErrThrottled, 430: ErrStatus4xx, 499: ErrStatus4xx, 500: ErrStatus5xx,
		503: ErrStatus5xx, 599: ErrStatus5xx, 999: ErrStatus5xx,
	} {
		if got := OutcomeOfStatus(status); got != want || !got.Answered() {
			t.Errorf("%d is %s, want %s", status, got, want)
		}
	}
	for _, o := range []Outcome{NoOutcome, ErrDNS, ErrConnect, ErrTLS, ErrBlocked, ErrTimeout, ErrReset, ErrTooLarge} {
		if o.Answered() {
			t.Errorf("%s is an answer", o)
		}
	}
}

func TestStateNames(t *testing.T) {
	want := []string{"pending", "delivered", "failed", "canceled"}
	for i, s := range States() {
		if int(s) != i || s.String() != want[i] {
			t.Errorf("state %d is %s", s, s)
		}
		if got, err := ParseState(want[i]); got != s || err != nil {
			t.Errorf("%s reads back as %s, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "Pending", "done"} {
		if _, err := ParseState(s); err == nil {
			t.Errorf("%q is a state", s)
		}
	}
}

func TestOwedCountsEnabledWebhooks(t *testing.T) {
	e := Event{Matches: []Match{{Webhook: NewID()}, {Webhook: NewID(), Disabled: true}, {Webhook: NewID()}}}
	if e.Owed() != 2 {
		t.Errorf("owed %d", e.Owed())
	}
}
