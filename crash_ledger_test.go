package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// posted is an event for which a poster had a receipt.
type posted struct {
	topic, payload, cursor string
}

func everything(posted) bool { return true }

// keyOf is the partition key of an event, which its payload begins with.
func keyOf(payload string) string {
	key, _, _ := strings.Cut(payload, " ")
	return key
}

// ledger is what posters were promised.
type ledger struct {
	padding string // at the end of every payload

	mu       sync.Mutex
	accepted map[string]posted // by event id
	repeated int
}

func newLedger() *ledger { return &ledger{accepted: make(map[string]posted)} }

func (l *ledger) accept(id string, event posted, repeated bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.accepted[id] = event
	if repeated {
		l.repeated++
	}
}

// all is for when the posters have ended.
func (l *ledger) all() map[string]posted {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.accepted
}

// follower reads a stream over all restarts and checks that ids grow and nothing comes twice.
type follower struct {
	mu    sync.Mutex
	last  string
	seen  map[string]bool // by payload
	fault string
}

func (f *follower) follow(ctx context.Context, base string) {
	for ctx.Err() == nil {
		f.read(ctx, base)
		time.Sleep(20 * time.Millisecond)
	}
}

func (f *follower) read(ctx context.Context, base string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/v1/stream?topic=load.**", nil)
	if err != nil {
		return
	}
	f.mu.Lock()
	if f.last != "" {
		req.Header.Set("Last-Event-ID", f.last)
	} else {
		req.URL.RawQuery += "&since=earliest"
	}
	f.mu.Unlock()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return
	}
	defer resp.Body.Close()
	blocks := newBlockReader(resp.Body)
	for {
		block, err := blocks.next()
		if err != nil {
			return // an unfinished block is dropped, as a browser does
		}
		f.take(block)
	}
}

func (f *follower) take(b block) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if b.event == "_stream" {
		if !strings.Contains(b.data, "resumed") {
			f.fault = "told of " + b.data
		}
		return
	}
	if b.id == "" {
		return
	}
	if b.hasData {
		if b.id <= f.last {
			f.fault = fmt.Sprintf("id %s came after %s", b.id, f.last)
		}
		if f.seen[b.data] {
			f.fault = fmt.Sprintf("%q came twice", b.data)
		}
		if f.seen == nil {
			f.seen = map[string]bool{}
		}
		f.seen[b.data] = true
	}
	f.last = b.id
}

func (f *follower) has(accepted map[string]posted) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, event := range accepted {
		if !f.seen[event.payload] {
			return false
		}
	}
	return true
}
