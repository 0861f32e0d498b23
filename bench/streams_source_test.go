package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Where the gateway takes events and gives streams; the peer does so at the same places.
const (
	topicPath  = "/v1/topics/bench.a/events"
	batchPath  = "/v1/events"
	streamPath = "/v1/stream?topic=bench.a"
)

// source is a server of streams that is measured: the gateway or its peer.
type source struct {
	b      *testing.B
	addr   string
	greets bool // its streams begin with a block of its own
	cpu    func() time.Duration
	client *http.Client
	next   atomic.Int64 // the number of the next event
}

func (p *process) source() *source {
	return &source{b: p.b, addr: p.addr, greets: true, cpu: p.cpu, client: p.client}
}

// gather opens streams of the source.
func (s *source) gather(n int, o readerOptions) *audience {
	s.b.Helper()
	o.greets = s.greets
	if o.buffer == 0 {
		o.buffer = readerBuffer(n)
	}
	a, err := gather(s.addr, n, o)
	if err != nil {
		a.close()
		s.b.Fatal(err)
	}
	return a
}

// readerBuffer is the size of the buffers that so many readers can have.
func readerBuffer(n int) int {
	if n > 1000 {
		return 4 << 10
	}
	return 32 << 10
}

// post posts a body and returns what is answered.
func (s *source) post(ctx context.Context, path, contentType string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.addr+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", contentType)
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusAccepted {
		return nil, fmt.Errorf("POST %s: %s\n%s", path, resp.Status, answer)
	}
	return answer, nil
}

// one posts the next event, with the time.
func (s *source) one(ctx context.Context, size int, at time.Time) error {
	_, err := s.post(ctx, topicPath, "text/plain", stamped(size, s.next.Add(1)-1, at))
	return err
}

// batch posts so many events with one request and returns the cursor of the first, which only the gateway tells.
func (s *source) batch(ctx context.Context, count, size int) (string, error) {
	type cloudEvent struct {
		SpecVersion     string `json:"specversion"`
		ID              string `json:"id"`
		Source          string `json:"source"`
		Type            string `json:"type"`
		DataContentType string `json:"datacontenttype"`
		Data            string `json:"data"`
	}
	batch := make([]cloudEvent, count)
	first := s.next.Add(int64(count)) - int64(count)
	now := time.Now()
	for i := range batch {
		number := first + int64(i)
		batch[i] = cloudEvent{"1.0", strconv.FormatInt(number, 10), "/bench", "bench.a", "text/plain", string(stamped(size, number, now))}
	}
	body, err := json.Marshal(batch)
	if err != nil {
		return "", err
	}
	answer, err := s.post(ctx, batchPath, "application/cloudevents-batch+json", body)
	if err != nil {
		return "", err
	}
	var receipts []struct {
		Cursor string `json:"cursor"`
	}
	if err := json.Unmarshal(answer, &receipts); err != nil {
		return "", fmt.Errorf("read receipts: %w", err)
	}
	if len(receipts) == 0 {
		return "", nil
	}
	return receipts[0].Cursor, nil
}

// inTurn posts at a rate, each event when the one before it is accepted, until more says no or ctx ends, and returns how
// many were accepted. An event that had to wait for the one before it bears the time at which it was due.
func (s *source) inTurn(ctx context.Context, perSecond, size int, more func() bool) (accepted int64) {
	s.b.Helper()
	pause := time.Second / time.Duration(perSecond)
	for due := time.Now(); more() && ctx.Err() == nil; due = due.Add(pause) {
		at := due
		if early := time.Until(due); early > 0 {
			time.Sleep(early)
			at = time.Now()
		}
		if err := s.one(ctx, size, at); err != nil {
			if ctx.Err() == nil {
				s.b.Fatal(err)
			}
			return accepted
		}
		accepted++
	}
	return accepted
}

// fanOut is what it costs to bring events to many.
type fanOut struct {
	perMessage float64 // µs of the server's processor time, posts included
	messages   float64 // a second
}

func fanOutOf(used, took time.Duration, events int64, streams int) fanOut {
	messages := float64(events) * float64(max(1, streams))
	return fanOut{float64(used.Microseconds()) / messages, messages / took.Seconds()}
}

// paced measures a steady rate of events to so many streams, until the last has arrived. With no stream it is the cost
// of an event's post.
func (s *source) paced(n, rate int, settle, span time.Duration) fanOut {
	s.b.Helper()
	readers := s.gather(n, readerOptions{})
	defer readers.close()
	post := func(int) error { return s.one(s.b.Context(), pacedSize, time.Now()) }
	first := int64(steadily(s.b, rate, settle, post))
	check(s.b, readers.await(first, time.Minute))
	used, began := s.cpu(), time.Now()
	events := int64(steadily(s.b, rate, span, post))
	check(s.b, readers.await(first+events, time.Minute))
	return fanOutOf(s.cpu()-used, time.Since(began), events, n)
}

// fullSpeed measures events in batches, from a few posters at once, until the last has arrived everywhere.
func (s *source) fullSpeed(n int, events int64) fanOut {
	s.b.Helper()
	const clients, size = 4, 100
	readers := s.gather(n, readerOptions{})
	defer readers.close()
	var left atomic.Int64
	left.Store(events / size)
	var posters sync.WaitGroup
	used, began := s.cpu(), time.Now()
	for range clients {
		posters.Go(func() {
			for left.Add(-1) >= 0 {
				if _, err := s.batch(s.b.Context(), size, pacedSize); err != nil {
					s.b.Error(err)
					return
				}
			}
		})
	}
	posters.Wait()
	check(s.b, readers.await(events, 5*time.Minute))
	return fanOutOf(s.cpu()-used, time.Since(began), events, n)
}
