package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// receiver is somebody's webhook: it keeps what it gets and answers as it was told.
type receiver struct {
	server   *httptest.Server
	answers  []string // statuses, or hang; the last one stays
	body     string
	released chan struct{}
	log      transcript // a line for each request

	mu   sync.Mutex
	got  []received
	free bool // released is closed
}

type received struct {
	header http.Header
	body   []byte
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return // the gateway has given up on us
	}
	r.mu.Lock()
	answer := r.answers[min(len(r.got), len(r.answers)-1)]
	r.got = append(r.got, received{req.Header.Clone(), body})
	r.mu.Unlock()
	fmt.Fprintln(&r.log, "got one")
	if answer == "hang" {
		select {
		case <-r.released:
		case <-req.Context().Done():
			return
		}
		answer = "200"
	}
	status, err := strconv.Atoi(answer)
	if err != nil {
		panic(err) // receive has looked at it
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, r.body)
}

func (r *receiver) release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.free {
		r.free = true
		close(r.released)
	}
}

func (r *receiver) close() {
	r.release()
	r.server.CloseClientConnections()
	r.server.Close()
}

func (r *receiver) requests() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got[:len(r.got):len(r.got)]
}

func (s *story) receive(ts *testscript.TestScript, args []string) error {
	const form = "receiver NAME [-b BODY] STATUS|hang…"
	if len(args) < 2 || s.receivers[args[0]] != nil {
		return usage(form)
	}
	r := &receiver{released: make(chan struct{})}
	for i := 1; i < len(args); i++ {
		if args[i] == "-b" && i+1 < len(args) {
			i++
			r.body = args[i]
			continue
		}
		if _, err := strconv.Atoi(args[i]); err != nil && args[i] != "hang" {
			return usage(form)
		}
		r.answers = append(r.answers, args[i])
	}
	if len(r.answers) == 0 {
		return usage(form)
	}
	r.server = httptest.NewServer(r)
	s.receivers[args[0]] = r
	ts.Setenv(args[0], r.server.URL)
	return nil
}

func (s *story) receiverNamed(args []string, form string, more int) (*receiver, error) {
	if len(args) != 1+more || s.receivers[args[0]] == nil {
		return nil, usage(form + ", of a receiver that was begun")
	}
	return s.receivers[args[0]], nil
}

func (s *story) received(ts *testscript.TestScript, args []string) error {
	r, err := s.receiverNamed(args, "received NAME COUNT", 1)
	if err != nil {
		return err
	}
	count, err := number(args[1])
	if err != nil {
		return err
	}
	_, err = r.log.await(func(text string, _ bool) bool { return strings.Count(text, "\n") >= count })
	for _, got := range r.requests() {
		if err := got.header.Write(ts.Stdout()); err != nil {
			return err
		}
		fmt.Fprintf(ts.Stdout(), "\n%s\n\n", got.body)
	}
	return err
}

func (s *story) silent(_ *testscript.TestScript, args []string) error {
	r, err := s.receiverNamed(args, "silent NAME COUNT", 1)
	if err != nil {
		return err
	}
	if n := len(r.requests()); strconv.Itoa(n) != args[1] {
		return fmt.Errorf("%s got %d requests", args[0], n)
	}
	return nil
}

func (s *story) release(_ *testscript.TestScript, args []string) error {
	r, err := s.receiverNamed(args, "release NAME", 0)
	if err == nil {
		r.release()
	}
	return err
}

func (s *story) verify(_ *testscript.TestScript, args []string) error {
	r, err := s.receiverNamed(args, "verify NAME SECRET", 1)
	if err != nil {
		return err
	}
	verifier, err := standardwebhooks.NewWebhook(args[1])
	if err != nil {
		return err
	}
	all := r.requests()
	if len(all) == 0 {
		return fmt.Errorf("%s got nothing to verify", args[0])
	}
	for i, got := range all {
		if err := verifier.Verify(got.body, got.header); err != nil {
			return fmt.Errorf("request %d: %w", i+1, err)
		}
		// What the verifier accepts must be what it checked: one byte more must not pass.
		if verifier.Verify(append([]byte(" "), got.body...), got.header) == nil {
			return fmt.Errorf("request %d: its signature is good for any body", i+1)
		}
	}
	return nil
}
