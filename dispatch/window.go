package dispatch

import "github.com/carillon/carillon/event"

const (
	// firstWindow is how many attempts a webhook is given at once of which nothing is known, or that has just recovered.
	firstWindow = 4
	// downAfter is how many failures in a row, at a window of one, make a webhook down.
	downAfter = 5
)

// window is how many attempts of a webhook may be under way at once. It finds the rate at which the receiver answers,
// as TCP finds that of a path: it doubles in each round trip until the first failure, grows by one in each round trip
// from then on, and is halved by failures. So isolation, throttling and breaking are one mechanism, and nobody sets it.
type window struct {
	size    float64 // at least 1
	ceiling int     // the webhook's MaxInFlight
	steady  bool    // there was a failure: it no longer doubles
	// round grows when the window is halved. What began in an earlier round says nothing about the window as it is now.
	round  int
	single int // failures in a row of attempts that were alone in a window of one
}

func newWindow(ceiling int) window {
	return window{size: float64(min(firstWindow, ceiling)), ceiling: ceiling}
}

// limit is the window in whole attempts.
func (w *window) limit() int { return int(w.size) }

// setCeiling obeys a webhook's new MaxInFlight.
func (w *window) setCeiling(ceiling int) {
	w.ceiling = ceiling
	w.size = min(w.size, float64(ceiling))
}

// succeeded notes a 2xx, with so many attempts in flight, it included. A window that is not used up says nothing about
// what the receiver could take, and does not grow.
func (w *window) succeeded(inFlight int) {
	w.single = 0
	if inFlight < w.limit() {
		return
	}
	if w.steady {
		w.size += 1 / w.size
	} else {
		w.size++
	}
	w.size = min(w.size, float64(w.ceiling))
}

// answered notes an answer that is neither a success nor a sign of overload: the receiver is there.
func (w *window) answered() { w.single = 0 }

// failed notes a sign of overload, of an attempt that began in the given round, and reports whether the webhook is down
// now.
func (w *window) failed(round int) (down bool) {
	if round != w.round {
		return false
	}
	if w.limit() == 1 {
		w.single++
	}
	w.round++
	w.steady = true
	w.size = max(1, float64(w.limit()/2))
	return w.single >= downAfter
}

// overload reports whether an attempt's outcome says that the receiver cannot take more: no answer in time, no
// connection, no token, 429 or 5xx. Other 4xx are about the request, and 3xx about the URL.
func overload(o event.Outcome) bool {
	switch o {
	case event.ErrDNS, event.ErrConnect, event.ErrTLS, event.ErrBlocked, event.ErrTimeout, event.ErrReset,
		event.ErrStatus5xx, event.ErrThrottled, event.ErrAuth:
		return true
	}
	return false
}
