package stream

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/carillon/carillon/event"
)

// What a stream is told besides events. Each has two forms: a block of an event stream, and a line of NDJSON.

// status is what the gateway says of a stream itself, as event _stream or in the member _stream of a line. In an event
// stream such a block has no id: it is no event of the log.
type status struct {
	Status string `json:"status,omitempty"`
	Oldest string `json:"oldest,omitempty"` // after this cursor the log still holds everything
	Cursor string `json:"cursor,omitempty"` // how far the stream has come; in an event stream that is the block's id
	Retry  int64  `json:"retry,omitempty"`  // milliseconds after which to come back; an event stream has a field for it
}

// The values of status.
const (
	statusResumed = "resumed" // nothing is missing
	statusGap     = "gap"     // events are missing
	statusExpired = "expired" // what the stream was opened with is no longer valid
	statusFull    = "full"    // there are too many streams
	statusClosing = "closing" // of lines only: an event stream just ends
)

func appendStatus(dst []byte, in Format, s status) []byte {
	text, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Errorf("marshalling a status: %w", err)) // it holds nothing that cannot be marshalled
	}
	if in == Lines {
		dst = append(dst, `{"`+nameStream+`":`...)
		return append(append(dst, text...), "}\n"...)
	}
	dst = append(dst, "event: "+nameStream+"\ndata: "...)
	return append(append(dst, text...), "\n\n"...)
}

// opening is a stream's first bytes: at once, so that the client knows that it is connected, and with an id, so that it
// can resume even if it loses the connection before the first event.
func (h *Hub) opening(in Format, start place) []byte {
	told := status{Cursor: start.position.String()}
	switch start.told {
	case resumed:
		told.Status = statusResumed
	case gap:
		told.Status, told.Oldest = statusGap, start.oldest.String()
	}
	if in == Lines {
		return appendStatus(nil, in, told)
	}
	text := append(appendID(appendRetry(nil, h.comeBack()), start.position), '\n')
	if told.Status == "" {
		return text
	}
	told.Cursor = ""
	return appendStatus(text, in, told)
}

// heartbeat keeps proxies from taking the connection for dead, and brings the client's id up to date if that has fallen
// behind: a client that comes back after a week without a match would else read that week again, or be told of a gap
// that does not concern it.
func (s *subscriber) heartbeat(reached event.Cursor) []byte {
	if s.form.format() == Lines {
		s.told = reached
		return appendStatus(nil, Lines, status{Cursor: reached.String()})
	}
	text := []byte(":\n")
	if reached != s.told {
		text = appendID(text, reached)
		s.told = reached
	}
	return append(text, '\n')
}

// gapText tells that events are missing, and the cursor after which the log still holds everything.
func (s *subscriber) gapText(oldest event.Cursor) []byte {
	return appendStatus(nil, s.form.format(), status{Status: statusGap, Oldest: oldest.String()})
}

// goodbye is a stream's last bytes. The end of the body makes an EventSource reconnect; the retry says when.
func (s *subscriber) goodbye() []byte {
	return appendGoodbye(nil, s.form.format(), "", s.hub.comeBack())
}

// farewell is goodbye to a stream that has been open for as long as it may, or whose key was revoked.
func (s *subscriber) farewell() []byte {
	why := ""
	if s.token || s.revoked.Load() {
		why = statusExpired
	}
	return appendGoodbye(nil, s.form.format(), why, s.hub.comeBack())
}

func appendGoodbye(dst []byte, in Format, why string, after time.Duration) []byte {
	if in == Lines {
		if why == "" {
			why = statusClosing
		}
		return appendStatus(dst, in, status{Status: why, Retry: after.Milliseconds()})
	}
	dst = append(appendRetry(dst, after), '\n')
	if why == "" {
		return dst
	}
	return appendStatus(dst, in, status{Status: why})
}

// due reports whether the stream has been open for as long as it may, or its key was revoked.
func (s *subscriber) due(now time.Time) bool {
	return s.revoked.Load() || !s.until.IsZero() && !now.Before(s.until)
}

// Clients that lose their streams together are told to come back spread over some time: at least spreadLeast, and longer
// the more there are, so that no more than comingBack arrive in a second, but not longer than spreadMost.
const (
	minRetry    = 2 * time.Second
	spreadLeast = 3 * time.Second
	spreadMost  = 58 * time.Second
	comingBack  = 1000
)

// comeBack returns after how long a client should reconnect.
func (h *Hub) comeBack() time.Duration {
	spread := time.Duration(h.seats.taken()) * time.Second / comingBack
	return minRetry + rand.N(min(max(spread, spreadLeast), spreadMost)) // #nosec G404 -- jitter is no secret
}

// appendRetry appends the line that says after how many milliseconds to reconnect.
func appendRetry(dst []byte, after time.Duration) []byte {
	dst = append(dst, "retry: "...)
	dst = strconv.AppendInt(dst, after.Milliseconds(), 10)
	return append(dst, '\n')
}

// appendID appends the line that sets the client's last event id.
func appendID(dst []byte, c event.Cursor) []byte {
	dst = append(dst, "id: "...)
	dst = c.AppendText(dst)
	return append(dst, '\n')
}
