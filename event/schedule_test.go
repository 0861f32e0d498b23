package event

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var now = time.Date(2026, 11, 22, 18, 46, 22, 0, time.UTC)

func TestScheduleNext(t *testing.T) {
	s := Schedule{10 * time.Second, time.Minute}
	most := math.Nextafter(1, 0)
	cases := map[string]struct {
		step       int
		random     float64
		retryAfter time.Duration
		low, high  time.Duration // of the delay; zero: none
	}{
		"shortest":          {1, 0, 0, 8 * time.Second, 8 * time.Second},
		"middle":            {1, 0.5, 0, 10*time.Second - 1, 10 * time.Second},
		"longest":           {1, most, 0, 12*time.Second - 2, 12 * time.Second},
		"second step":       {2, 0, 0, 48 * time.Second, 48 * time.Second},
		"used up":           {3, 0, 0, 0, 0},
		"before the first":  {0, 0, 0, 0, 0},
		"floor":             {1, 0, 30 * time.Second, 30 * time.Second, 30 * time.Second},
		"floor below":       {1, 0, 3 * time.Second, 8 * time.Second, 8 * time.Second},
		"floor at 24 h":     {1, 0, 25 * time.Hour, 24 * time.Hour, 24 * time.Hour},
		"floor of used up":  {3, 0, time.Minute, 0, 0},
		"floor in the past": {1, 0, -time.Hour, 8 * time.Second, 8 * time.Second},
	}
	for name, c := range cases {
		at, ok := s.Next(c.step, now, c.random, c.retryAfter)
		if ok != (c.high > 0) {
			t.Errorf("%s: goes on is %v", name, ok)
		} else if d := at.Sub(now); ok && (d < c.low || d > c.high) {
			t.Errorf("%s: %s, want %s to %s", name, d, c.low, c.high)
		}
	}
	if _, ok := (Schedule{}).Next(1, now, 0, 0); ok {
		t.Error("no entries are more than one attempt")
	}
	long := Schedule{MaxRetryDelay}
	if at, _ := long.Next(1, now, 0.5, 25*time.Hour); at.Sub(now) <= MaxRetryAfter {
		t.Error("the cap on Retry-After shortens the schedule")
	}
}

func TestScheduleJitterBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		delay := time.Duration(rapid.Int64Range(int64(MinRetryDelay), int64(MaxRetryDelay)).Draw(t, "delay"))
		random := rapid.Float64Range(0, math.Nextafter(1, 0)).Draw(t, "random")
		at, ok := Schedule{delay}.Next(1, now, random, 0)
		share := float64(at.Sub(now)) / float64(delay)
		if !ok || share < 1-RetryJitter-1e-9 || share > 1+RetryJitter+1e-9 {
			t.Errorf("%s became %s", delay, at.Sub(now))
		}
	})
}

func TestSchedules(t *testing.T) {
	d := DefaultSchedule()
	if len(d) != 11 || d.Validate() != nil || !slices.IsSorted(d) {
		t.Errorf("default is %v", d)
	}
	got := GeometricSchedule(6, 5*time.Second, 3, time.Minute)
	if want := (Schedule{5e9, 15e9, 45e9, 60e9, 60e9}); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := GeometricSchedule(101, time.Hour, 1e6, MaxRetryDelay); got.Validate() != nil || got[100-1] != MaxRetryDelay {
		t.Errorf("the largest is %v", got)
	}
	if got := GeometricSchedule(1, time.Second, 2, time.Hour); len(got) != 0 {
		t.Errorf("one attempt is %v", got)
	}
	for text, s := range map[string]Schedule{
		"":            {},
		"delay 2":     {MinRetryDelay, MinRetryDelay - 1},
		"delay 1":     {MaxRetryDelay + 1},
		"101 retries": make(Schedule, 101),
	} {
		err := s.Validate()
		if (err == nil) != (text == "") || (err != nil && !strings.Contains(err.Error(), text)) {
			t.Errorf("%v: %v, want %q", s, err, text)
		}
	}
}
