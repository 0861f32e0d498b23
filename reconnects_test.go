package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// reconnects is how often TestReconnectsLoseNothing makes clients reconnect, unless CARILLON_RECONNECTS says otherwise.
const reconnects = 2000

func reconnectsWanted(t *testing.T) int64 {
	t.Helper()
	switch s := os.Getenv("CARILLON_RECONNECTS"); {
	case s != "":
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			t.Fatal("CARILLON_RECONNECTS:", err)
		}
		return n
	case testing.Short():
		return reconnects / 4
	default:
		return reconnects
	}
}

// TestReconnectsLoseNothing cuts clients off while events are posted steadily: after some events, in the middle of a
// block, before there was an answer, by both ways to close a connection, and now and then by killing the gateway. Each
// client resumes behind the last block that it got whole, and in the end has every event once and in order.
func TestReconnectsLoseNothing(t *testing.T) {
	const clients, kills = 16, 5
	wanted := reconnectsWanted(t)
	address, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	data := t.TempDir()
	gateway, url := browse(t, nil, "--listen", address, "--data", data)

	var cutting, posting sync.WaitGroup
	defer cutting.Wait()
	defer posting.Wait()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var done atomic.Int64 // reconnects
	log := &postedLog{}
	posting.Go(func() { log.post(t, ctx, url) })
	all := make([]*wanderer, clients)
	for i := range all {
		all[i] = &wanderer{address: address}
		cutting.Go(func() {
			for done.Load() < wanted {
				if all[i].wander(t, all[i].someCut()) {
					done.Add(1)
				}
				if t.Failed() {
					return
				}
			}
		})
	}
	for i := range int64(kills) {
		waitUntil(t, 2*patience, "the clients to reconnect", func() bool {
			return t.Failed() || done.Load() >= (i+1)*wanted/(kills+1)
		})
		gateway.kill()
		gateway, _ = browse(t, nil, "--listen", address, "--data", data)
	}
	cutting.Wait()
	stop()
	posting.Wait()
	if t.Failed() {
		return
	}

	// Whoever was away comes back for the rest.
	want := log.accepted
	for _, w := range all {
		cutting.Go(func() {
			for len(w.got) < len(want) && !t.Failed() {
				w.wander(t, cut{blocks: -1, bytes: -1, events: len(want)})
			}
		})
	}
	cutting.Wait()
	resumed, broken := 0, 0
	for i, w := range all {
		resumed, broken = resumed+w.resumed, broken+w.broken
		if d := difference(w.got, want); d != "" {
			t.Errorf("client %d: %s", i, d)
		}
	}
	t.Logf("%d events accepted, %d reconnects of %d clients, who were told %d times that they were resumed; %d kills, which broke %d connections",
		len(want), done.Load(), clients, resumed, kills, broken)
	if len(want) < kills || resumed == 0 {
		t.Error("too little happened for the test to mean anything")
	}
	// A client that comes back while the dying gateway's listener is still there breaks off once more.
	if broken > 2*kills*clients {
		t.Error("the gateway broke connections of clients, besides those that it had when it was killed")
	}
}

// postedLog is what one poster has had receipts for.
type postedLog struct{ accepted []heard }

// post posts events steadily until the context ends. Whatever it has begun to post it posts to its end.
func (l *postedLog) post(t *testing.T, ctx context.Context, url string) {
	steady := time.NewTicker(4 * time.Millisecond)
	defer steady.Stop()
	for i := 0; ctx.Err() == nil; i++ {
		data := fmt.Sprintf("event %d", i) + strings.Repeat("\n: no comment", i%7) + strings.Repeat("x", i%11*i%200)
		cursor, err := insist(context.WithoutCancel(ctx), url, "wander."+strconv.Itoa(i%3), strconv.Itoa(i), data)
		if err != nil {
			t.Error(err)
			return
		}
		l.accepted = append(l.accepted, heard{cursor, "", data})
		select {
		case <-steady.C:
		case <-ctx.Done():
		}
	}
}

// wanderer is a client whose connection is cut again and again.
type wanderer struct {
	address string

	last    string // id of the last whole block
	got     []heard
	resumed int // how often the gateway said so
	broken  int // how often a connection ended that this client had not cut
}

// cut is where a connection is cut: at whatever of this comes first.
type cut struct {
	blocks int // after so many, or never if negative
	bytes  int // after so many of the answer, from its header on, or never if negative
	events int // when the client has so many in all, if not 0
	abort  bool
}

// someCut returns a cut at random: half of them fall between blocks, half anywhere.
func (w *wanderer) someCut() cut {
	c := cut{blocks: -1, bytes: -1, abort: rand.IntN(2) == 0}
	if rand.IntN(2) == 0 {
		c.blocks = rand.IntN(8)
	} else {
		c.bytes = rand.IntN(1500)
	}
	return c
}

// wander makes one connection, reads until the cut, and reports whether there was one to cut. What does not belong on the
// stream fails the test.
func (w *wanderer) wander(t *testing.T, c cut) bool {
	conn, err := net.DialTimeout("tcp", w.address, patience)
	if err != nil {
		time.Sleep(time.Millisecond) // it is down: a client that does not wait keeps it from coming up
		return false
	}
	defer conn.Close()
	if c.abort {
		_ = conn.(*net.TCPConn).SetLinger(0) // closing then is a reset
	}
	// It is there so that a gateway that says nothing ends the test.
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Error(err)
		return false
	}
	w.ask(conn)
	answer := &io.LimitedReader{R: conn, N: 1 << 40}
	if c.bytes >= 0 {
		answer.N = int64(c.bytes)
	}
	ended := func(err error) bool {
		switch {
		case answer.N == 0:
			return true // it was cut
		case errors.Is(err, os.ErrDeadlineExceeded):
			t.Error("the gateway says nothing: ", err)
		default:
			w.broken++
		}
		return false
	}
	resp, err := http.ReadResponse(bufio.NewReader(answer), nil)
	if err != nil {
		return ended(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Errorf("the gateway answered %s", resp.Status)
		return false
	}
	blocks := newBlockReader(resp.Body)
	for n := 0; n != c.blocks && (c.events == 0 || len(w.got) < c.events); n++ {
		b, err := blocks.next()
		if err != nil {
			return ended(err)
		}
		if err := w.take(b); err != nil {
			t.Error(err)
			return false
		}
	}
	return true
}

// ask asks for the stream, behind the last id in one of the ways that there are. Whether that could be sent shows in the
// answer.
func (w *wanderer) ask(conn net.Conn) {
	query, header := "&since=earliest", ""
	switch {
	case w.last == "":
	case rand.IntN(4) == 0:
		query += "&last_event_id=" + w.last
	default:
		header = "Last-Event-ID: " + w.last + "\r\n"
	}
	_, _ = io.WriteString(conn, "GET /v1/stream?topic=wander.*"+query+" HTTP/1.1\r\nHost: "+w.address+
		"\r\nAccept: text/event-stream\r\n"+header+"\r\n")
}

func (w *wanderer) take(b block) error {
	switch {
	case b.event == "_stream":
		w.resumed++
		if !strings.Contains(b.data, `"resumed"`) || b.id != "" {
			return fmt.Errorf("the gateway said %v", b)
		}
		return nil
	case b.id == "":
		return nil // a comment
	case b.id < w.last || b.hasData && b.id == w.last:
		return fmt.Errorf("id %s came after %s", b.id, w.last)
	}
	w.last = b.id
	if b.hasData {
		w.got = append(w.got, heard{b.id, b.event, b.data})
	}
	return nil
}
