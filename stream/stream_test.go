package stream_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/stream"
)

func subscribe(patterns ...event.Pattern) stream.Subscription {
	return stream.Subscription{Tenant: tenantA, Patterns: patterns}
}

func after(sub stream.Subscription, id string) stream.Subscription {
	sub.Start = stream.AfterID(id)
	return sub
}

func since(t testing.TB, sub stream.Subscription, text string) stream.Subscription {
	start, err := stream.ParseSince(text, time.Unix(1000, 0))
	if err != nil {
		t.Fatalf("since %q: %v", text, err)
	}
	sub.Start = start
	return sub
}

// The parser of these tests reads the platform's own vector as it says.
func TestParser(t *testing.T) {
	p := newParser(strings.NewReader("data:\000\ndata:  2\rData:1\ndata\000:2\ndata:1\r\000data:4\nda-ta:3\rdata_5\ndata:3\rdata:\r\n data:32\ndata:4\n\n"))
	b, err := p.next()
	if want := "\000\n 2\n1\n3\n\n4"; err != nil || b.data != want {
		t.Errorf("got %q, %v; want %q", b.data, err, want)
	}
}

func TestLive(t *testing.T) {
	log := newMemLog()
	log.append(tenantA, "a", numbered(1, 3)...)
	c := openStream(t, runHub(t, stream.Config{Log: log}), subscribe("a"))
	defer c.close()
	if b := c.block(); b.dispatched || b.id != event.Cursor(3).String() {
		t.Errorf("a live stream opens with %+v, want the id of the log's head", b)
	}
	if c.retry == "" {
		t.Error("no retry at the opening")
	}
	header := c.response.header
	for name, want := range map[string]string{
		"Content-Type": "text/event-stream", "Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no",
		"X-Content-Type-Options": "nosniff",
	} {
		if got := header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	log.append(tenantA, "b", []byte("not asked for"))
	log.append(tenantB, "a", []byte("another tenant's"))
	log.append(tenantA, "a", []byte("4"))
	if b := c.next(); b.data != "4" || b.name != "message" || b.id != event.Cursor(6).String() {
		t.Errorf("got %+v", b)
	}
}

// What is accepted while the hub trails the log is on a stream that was open then: once.
func TestTrailingHub(t *testing.T) {
	log := newMemLog()
	log.holdTails(true)
	hub := runHub(t, stream.Config{Log: log})
	c := openStream(t, hub, subscribe("**"))
	c.block()
	log.append(tenantA, "a", numbered(1, 4)...)
	ahead := openStream(t, hub, subscribe("**"))
	ahead.block()
	log.append(tenantA, "a", numbered(5, 6)...)
	log.holdTails(false)
	c.want("1", "2", "3", "4", "5", "6")
	ahead.want("5", "6")
	c.close()
	ahead.close()
}

func TestPatterns(t *testing.T) {
	log := newMemLog()
	hub := runHub(t, stream.Config{Log: log})
	sub := subscribe("orders.*", "orders.eu", "users.**", "orders.**", "orders.eu")
	sub.Named = true
	c := openStream(t, hub, sub)
	defer c.close()
	c.block()
	for _, topic := range []event.Topic{"orders.eu", "orders", "users.a.b.c", "_carillon.x", "other.eu", "orders.us"} {
		log.append(tenantA, topic, []byte(topic))
	}
	for _, want := range []string{"orders.eu", "users.a.b.c", "orders.us"} {
		if b := c.next(); b.data != want || b.name != want {
			t.Errorf("got %+v, want %s", b, want)
		}
	}
	// The same through the log: an event that two patterns match still comes once.
	again := openStream(t, hub, since(t, subscribe("orders.*", "orders.eu", "users.**"), "earliest"))
	defer again.close()
	again.status("resumed")
	again.want("orders.eu", "users.a.b.c", "orders.us")
}

func TestResumeFromEveryPoint(t *testing.T) {
	log := newMemLog()
	hub := runHub(t, stream.Config{Log: log, RingEvents: 16})
	watch := openStream(t, hub, subscribe("a"))
	watch.block()
	const n = 60
	log.append(tenantA, "a", numbered(1, n)...)
	watch.want(texts(numbered(1, n))...) // so that the ring has them
	watch.close()
	for from := 0; from <= n; from++ {
		c := openStream(t, hub, after(subscribe("a"), event.Cursor(from).String()))
		if b := c.block(); b.id != event.Cursor(from).String() {
			t.Errorf("a resume after %d opens with %+v", from, b)
		}
		c.status("resumed")
		c.want(texts(numbered(from+1, n))...)
		c.close()
	}
}

func TestStarts(t *testing.T) {
	log := newMemLog()
	log.append(tenantA, "a", numbered(1, 10)...) // event n is of second n
	for _, test := range []struct {
		name    string
		trimmed event.Cursor
		sub     stream.Subscription
		status  string // empty: none
		at      event.Cursor
	}{
		{"live", 0, subscribe("a"), "", 10},
		{"after an id", 0, after(subscribe("a"), event.Cursor(4).String()), "resumed", 4},
		{"after the newest", 0, after(subscribe("a"), event.Cursor(10).String()), "resumed", 10},
		{"after the future", 0, after(subscribe("a"), event.Cursor(11).String()), "gap", 10},
		{"after nonsense", 0, after(subscribe("a"), "42"), "gap", 10},
		{"after what was trimmed last", 5, after(subscribe("a"), event.Cursor(5).String()), "resumed", 5},
		{"after what was trimmed", 5, after(subscribe("a"), event.Cursor(4).String()), "gap", 5},
		{"since a cursor", 0, since(t, subscribe("a"), event.Cursor(4).String()), "resumed", 4},
		{"since a trimmed cursor", 5, since(t, subscribe("a"), event.Cursor(4).String()), "gap", 5},
		{"since earliest", 0, since(t, subscribe("a"), "earliest"), "resumed", 0},
		{"since earliest, trimmed", 5, since(t, subscribe("a"), "earliest"), "resumed", 5},
		{"since a time", 0, since(t, subscribe("a"), "1970-01-01T00:00:07Z"), "resumed", 6},
		{"since a time with an offset", 0, since(t, subscribe("a"), "1970-01-01T01:00:07+01:00"), "resumed", 6},
		{"since before the log", 0, since(t, subscribe("a"), "1969-01-01T00:00:00Z"), "resumed", 0},
		{"since before what is left", 5, since(t, subscribe("a"), "1970-01-01T00:00:03Z"), "gap", 5},
		{"since within what is left", 5, since(t, subscribe("a"), "1970-01-01T00:00:08Z"), "resumed", 7},
		{"since the future", 5, since(t, subscribe("a"), "2100-01-01T00:00:00Z"), "resumed", 10},
		{"since a duration", 0, since(t, subscribe("a"), "16m33s"), "resumed", 6},
	} {
		t.Run(test.name, func(t *testing.T) {
			log.trim(test.trimmed)
			c := openStream(t, runHub(t, stream.Config{Log: log}), test.sub)
			defer c.close()
			if b := c.block(); b.dispatched || b.id != test.at.String() {
				t.Errorf("opens with %+v, want id %s", b, test.at)
			}
			switch test.status {
			case "resumed":
				c.status("resumed")
			case "gap":
				if b := c.next(); b.name != "_stream" || b.data != fmt.Sprintf(`{"status":"gap","oldest":"%s"}`, test.trimmed) {
					t.Errorf("got %+v, want a gap and the log's beginning, %s", b, test.trimmed)
				}
			}
			c.want(texts(numbered(int(test.at)+1, 10))...)
		})
	}
}

func TestBadSince(t *testing.T) {
	for _, text := range []string{"", "now", "-1s", "10", "2026-11-22", "2026-11-22T18:46:22 01:00", "8000000000000", "Earliest"} {
		if _, err := stream.ParseSince(text, time.Now()); err == nil {
			t.Errorf("since %q was taken", text)
		}
	}
}

// Streams are opened while events are appended, so that each is joined somewhere between log, ring and tail.
func TestForcedJoins(t *testing.T) {
	joins, workers := 10_000, 8
	if testing.Short() {
		joins = 800
	}
	log := newMemLog()
	hub := runHub(t, stream.Config{Log: log, RingEvents: 12})
	post := make(chan int, workers)
	var posters, readers sync.WaitGroup
	posters.Go(func() {
		next := 1
		for n := range post {
			log.append(tenantB, "a", []byte("another tenant's"))
			log.append(tenantA, "a", numbered(next, next+n-1)...)
			log.append(tenantA, "b", []byte("not asked for"))
			next += n
		}
	})
	for range workers {
		readers.Go(func() {
			seen, id := 0, event.Cursor(0).String()
			for range joins / workers {
				bounds, err := log.Bounds(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				post <- 1 + rand.IntN(3)
				c := openStream(t, hub, after(subscribe("a"), id))
				for {
					b, err := c.parser.next()
					if err != nil {
						t.Errorf("the stream broke off: %v", err)
						break
					}
					if b.name == "_stream" {
						if !strings.Contains(b.data, "resumed") {
							t.Errorf("told %s", b.data)
						}
						continue
					}
					seen++
					if b.data != fmt.Sprint(seen) {
						t.Errorf("got %s after %d", b.data, seen-1)
						break
					}
					id = b.id
					// Text forms of cursors sort as cursors do.
					if id > bounds.Head.String() {
						break
					}
				}
				c.close()
				if t.Failed() {
					return
				}
			}
		})
	}
	readers.Wait()
	close(post)
	posters.Wait()
}

// One reads nothing for a while: the others and the hub go on, memory stays bounded, and it then gets everything.
func TestStalledReader(t *testing.T) {
	log := newMemLog()
	reg := prometheus.NewRegistry()
	hub := runHub(t, stream.Config{Log: log, RingEvents: 64, Metrics: reg})
	stalled, quick := openStream(t, hub, subscribe("a")), openStream(t, hub, subscribe("a"))
	defer stalled.close()
	defer quick.close()
	stalled.block()
	quick.block()
	const n = 5000
	for from := 1; from <= n; from += 100 {
		log.append(tenantA, "a", numbered(from, from+99)...)
		quick.want(texts(numbered(from, from+99))...)
	}
	stalled.want(texts(numbered(1, n))...)
	log.append(tenantA, "a", numbered(n+1, n+2)...)
	stalled.want(texts(numbered(n+1, n+2))...)
	quick.want(texts(numbered(n+1, n+2))...)
	if log.reads.Load() == 0 {
		t.Error("nothing was read from the log, so the ring was not bounded")
	}
	if err := testutil.GatherAndCompare(reg, strings.NewReader(`
		# HELP carillon_streams_open Streams that are open.
		# TYPE carillon_streams_open gauge
		carillon_streams_open 2
	`), "carillon_streams_open"); err != nil {
		t.Error(err)
	}
}

// A parked stream never goes to the log for what it did not ask for, however much of that there was.
func TestQuietStreamStaysOffTheLog(t *testing.T) {
	log := newMemLog()
	hub := runHub(t, stream.Config{Log: log, RingEvents: 8, Shards: 1})
	quiet, busy := openStream(t, hub, subscribe("quiet")), openStream(t, hub, subscribe("busy"))
	defer quiet.close()
	defer busy.close()
	quiet.block()
	busy.block()
	for i := range 500 {
		log.append(tenantA, "busy", numbered(i, i)...)
		busy.want(fmt.Sprint(i))
	}
	before := log.reads.Load()
	log.append(tenantA, "quiet", []byte("x"))
	quiet.want("x")
	if got := log.reads.Load(); got != before {
		t.Errorf("the quiet stream read %d pages of the log", got-before)
	}
}

func TestRetentionPassesAStalledReader(t *testing.T) {
	log := newMemLog()
	reg := prometheus.NewRegistry()
	hub := runHub(t, stream.Config{Log: log, RingEvents: 8, Metrics: reg})
	stalled, quick := openStream(t, hub, subscribe("a")), openStream(t, hub, subscribe("a"))
	defer stalled.close()
	defer quick.close()
	stalled.block()
	quick.block()
	large := strings.Repeat("x", 9<<10) // more than is gathered: the stalled one hangs in its first write
	log.append(tenantA, "a", []byte(large))
	quick.want(large)
	for i := 2; i <= 50; i++ {
		log.append(tenantA, "a", numbered(i, i)...)
		quick.want(fmt.Sprint(i))
	}
	log.trim(30)
	stalled.want(large)
	var got []string
	for len(got) == 0 || got[len(got)-1] != "50" {
		b := stalled.next()
		if b.name == "_stream" {
			if want := fmt.Sprintf(`{"status":"gap","oldest":"%s"}`, event.Cursor(30)); b.data != want {
				t.Errorf("told %s, want %s", b.data, want)
			}
			got = append(got, "gap")
			continue
		}
		got = append(got, b.data)
	}
	// How far the stalled one had got before it hung is chance; from there on nothing may be missing but what the gap tells of.
	before := slices.Index(got, "gap")
	if want := append(append(texts(numbered(2, before+1)), "gap"), texts(numbered(31, 50))...); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if n, err := testutil.GatherAndCount(reg, "carillon_stream_gaps_total"); err != nil || n != 1 {
		t.Errorf("%d gap metrics, %v", n, err)
	}
}

// Retention passes the hub itself.
func TestRetentionPassesTheHub(t *testing.T) {
	log := newMemLog()
	hub := runHub(t, stream.Config{Log: log})
	c := openStream(t, hub, subscribe("a"))
	defer c.close()
	c.block()
	log.append(tenantA, "a", numbered(1, 2)...)
	c.want("1", "2")
	log.holdTails(true)
	log.append(tenantA, "a", numbered(3, 9)...)
	log.trim(6)
	log.holdTails(false)
	c.status("gap")
	c.want("7", "8", "9")
}

func TestHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemLog()
		hub, stop := startHub(t, stream.Config{Log: log})
		c := openStream(t, hub, subscribe("a"))
		c.block()
		begun := time.Now()
		if b := c.block(); b.dispatched || c.comments != 1 || b.id != event.Cursor(0).String() {
			t.Errorf("got %+v and %d comments, want a heartbeat", b, c.comments)
		}
		if got := time.Since(begun); got != stream.DefaultHeartbeat {
			t.Errorf("the first heartbeat came after %s", got)
		}
		// What was written is sign enough; and the id follows what the stream did not ask for.
		time.Sleep(10 * time.Second)
		log.append(tenantA, "a", []byte("1"))
		c.want("1")
		begun = time.Now()
		log.append(tenantA, "b", []byte("2"))
		if b := c.block(); b.dispatched || c.comments != 2 || b.id != event.Cursor(2).String() {
			t.Errorf("got %+v and %d comments, want a heartbeat with the id brought up to date", b, c.comments)
		}
		if got := time.Since(begun); got != stream.DefaultHeartbeat {
			t.Errorf("the second heartbeat came after %s", got)
		}
		c.close()
		stop()
	})
}

func TestEnd(t *testing.T) {
	log := newMemLog()
	hub, stop := startHub(t, stream.Config{Log: log})
	c := openStream(t, hub, subscribe("a"))
	c.block()
	log.append(tenantA, "a", []byte("1"))
	c.want("1")
	stop()
	late := openStream(t, hub, subscribe("a"))
	for name, c := range map[string]*client{"open": c, "late": late} {
		c.retry = ""
		for {
			if _, err := c.parser.next(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if c.response.status != http.StatusOK || c.retry == "" {
			t.Errorf("the %s stream ended with status %d and retry %q", name, c.response.status, c.retry)
		}
		c.close()
	}
}

// A log that fails never makes an answer that would stop an EventSource for good.
func TestBrokenLog(t *testing.T) {
	log := newMemLog()
	log.append(tenantA, "a", []byte("1"))
	hub := runHub(t, stream.Config{Log: log})
	watch := openStream(t, hub, subscribe("a")) // the hub has begun when this one carries an event
	watch.block()
	log.append(tenantA, "a", []byte("2"))
	watch.want("2")
	watch.close()
	broken := errors.New("broken")
	log.setBroken(broken)
	c := openStream(t, hub, subscribe("a"))
	if _, err := c.parser.next(); !errors.Is(err, io.EOF) || c.retry == "" || c.response.status != http.StatusOK {
		t.Errorf("got %v, retry %q, status %d", err, c.retry, c.response.status)
	}
	if err := <-c.served; !errors.Is(err, broken) {
		t.Errorf("Serve: %v, want the log's error", err)
	}
	if err := stream.New(stream.Config{Log: log}).Run(t.Context()); !errors.Is(err, broken) {
		t.Errorf("Run: %v, want the log's error", err)
	}
}
