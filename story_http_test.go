package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// request is one that a script describes.
type request struct {
	header http.Header
	body   []byte
	rest   []string // the arguments that are no options
}

func (s *story) request(ts *testscript.TestScript, args []string) (request, error) {
	r := request{header: http.Header{}}
	for i := 0; i < len(args); i++ {
		if len(args[i]) != 2 || args[i][0] != '-' {
			r.rest = append(r.rest, args[i])
			continue
		}
		if i++; i == len(args) {
			return r, fmt.Errorf("%s needs a value", args[i-1])
		}
		switch args[i-1] {
		case "-H":
			name, value, ok := strings.Cut(args[i], ":")
			if !ok {
				return r, fmt.Errorf("%q is no header", args[i])
			}
			r.header.Add(name, strings.TrimSpace(value))
		case "-d":
			r.body = []byte(args[i])
		case "-f":
			r.body = []byte(ts.ReadFile(args[i]))
		default:
			return r, fmt.Errorf("unknown option %s", args[i-1])
		}
	}
	return r, nil
}

// do sends a request to the gateway and reads the whole answer.
func (s *story) do(method, path string, r request) (*http.Response, []byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, bytes.NewReader(r.body))
	if err != nil {
		return nil, nil, err
	}
	req.Header = r.header
	if host := r.header.Get("Host"); host != "" {
		req.Host = host
	}
	resp, err := s.transport.RoundTrip(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, body, err
}

func (s *story) http(ts *testscript.TestScript, args []string) error {
	r, err := s.request(ts, args)
	if err != nil {
		return err
	}
	if len(r.rest) != 3 {
		return usage("http STATUS METHOD PATH [-H 'Name: value'] [-d BODY | -f FILE]")
	}
	resp, body, err := s.do(r.rest[1], r.rest[2], r)
	if err != nil {
		return err
	}
	s.answer = body
	fmt.Fprintf(ts.Stdout(), "%s\n", body)
	fmt.Fprintf(ts.Stderr(), "%s\n", resp.Status)
	if err := resp.Header.Write(ts.Stderr()); err != nil {
		return err
	}
	if strconv.Itoa(resp.StatusCode) != r.rest[0] {
		return fmt.Errorf("status is %s\n%s", resp.Status, body)
	}
	return nil
}

// part finds a part of a JSON text by a path such as data.0.id.
func part(text []byte, path string) (string, error) {
	var v any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return "", fmt.Errorf("not JSON: %w\n%s", err, text)
	}
	for step := range strings.SplitSeq(path, ".") {
		switch at := v.(type) {
		case map[string]any:
			v = at[step]
		case []any:
			if step == "length" {
				v = len(at)
				continue
			}
			i, err := number(step)
			if err != nil || i >= len(at) {
				return "", fmt.Errorf("no %s in\n%s", path, text)
			}
			v = at[i]
		default:
			return "", fmt.Errorf("no %s in\n%s", path, text)
		}
	}
	if s, ok := v.(string); ok {
		return s, nil
	}
	b, err := json.Marshal(v)
	return string(b), err
}

func (s *story) get(ts *testscript.TestScript, args []string) error {
	if len(args) != 2 {
		return usage("get NAME PATH")
	}
	v, err := part(s.answer, args[1])
	if err == nil && v == "null" {
		err = fmt.Errorf("no %s in\n%s", args[1], s.answer)
	}
	ts.Setenv(args[0], v)
	return err
}

func (s *story) portal(ts *testscript.TestScript, args []string) error {
	if len(args) != 1 {
		return usage("portal NAME")
	}
	link, err := part(s.answer, "url")
	if err != nil {
		return err
	}
	_, token, found := strings.Cut(link, "#portal=")
	if !found {
		return fmt.Errorf("%s is no portal link", link)
	}
	ts.Setenv(args[0], token)
	return nil
}

func (s *story) printed(ts *testscript.TestScript, args []string) error {
	if len(args) != 2 {
		return usage("printed NAME PATH")
	}
	v, err := part([]byte(ts.ReadFile("stdout")), args[1])
	ts.Setenv(args[0], v)
	return err
}

func (s *story) expect(_ *testscript.TestScript, args []string) error {
	if len(args) != 2 {
		return usage("expect PATH VALUE")
	}
	v, err := part(s.answer, args[0])
	if err == nil && v != args[1] {
		err = fmt.Errorf("%s is %s, not %s, in\n%s", args[0], v, args[1], s.answer)
	}
	return err
}

func (s *story) until(ts *testscript.TestScript, args []string) error {
	r, err := s.request(ts, args)
	if err != nil {
		return err
	}
	if len(r.rest) != 3 {
		return usage("until PATH VALUE URLPATH")
	}
	deadline := time.After(patience)
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		_, body, err := s.do("GET", r.rest[2], r)
		if err != nil {
			return err
		}
		v, err := part(body, r.rest[0])
		if err == nil && v == r.rest[1] {
			s.answer = body
			fmt.Fprintf(ts.Stdout(), "%s\n", body)
			return nil
		}
		select {
		case <-again.C:
		case <-deadline:
			return fmt.Errorf("%w; the last answer was\n%s", errPatience, body)
		}
	}
}

func (s *story) flood(ts *testscript.TestScript, args []string) error {
	if len(args) != 3 {
		return usage("flood TOPIC FROM TO")
	}
	from, err := number(args[1])
	if err != nil {
		return err
	}
	to, err := number(args[2])
	if err != nil {
		return err
	}
	for i := from; i <= to; i++ {
		resp, body, err := s.do("POST", "/v1/topics/"+args[0]+"/events", request{header: http.Header{}, body: fmt.Append(nil, i)})
		if err != nil {
			return err
		}
		if resp.StatusCode != http.StatusAccepted {
			return fmt.Errorf("event %d: %s\n%s", i, resp.Status, body)
		}
	}
	return nil
}

func number(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 31)
	return int(n), err
}

// rawStream is an event stream that is read byte for byte.
type rawStream struct {
	text   transcript
	cancel context.CancelFunc
	done   chan struct{}
}

func (st *rawStream) close() {
	st.cancel()
	<-st.done
}

func (s *story) stream(ts *testscript.TestScript, args []string) error {
	r, err := s.request(ts, args)
	if err != nil {
		return err
	}
	if len(r.rest) != 2 || s.streams[r.rest[0]] != nil {
		return usage("stream NAME PATH [-H 'Name: value'], with a name not used before")
	}
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, "GET", s.url+r.rest[1], nil)
	if err != nil {
		cancel()
		return err
	}
	req.Header = r.header
	resp, err := s.transport.RoundTrip(req)
	if err != nil {
		cancel()
		return err
	}
	st := &rawStream{cancel: cancel, done: make(chan struct{})}
	s.streams[r.rest[0]] = st
	go func() {
		defer close(st.done)
		defer resp.Body.Close()
		// A stream that broke off and one that ended are told apart by what they said last.
		_, err := io.Copy(&st.text, bufio.NewReader(resp.Body))
		if err != nil && !errors.Is(err, context.Canceled) {
			fmt.Fprintf(&st.text, "[broken: %v]\n", err)
		}
		st.text.end()
	}()
	fmt.Fprintf(ts.Stderr(), "%s\n", resp.Status)
	if err := resp.Header.Write(ts.Stderr()); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status is %s", resp.Status)
	}
	return nil
}

func (s *story) streamed(ts *testscript.TestScript, args []string) error {
	if len(args) != 2 || s.streams[args[0]] == nil {
		return usage("streamed NAME TEXT, of a stream that was begun")
	}
	text, err := s.streams[args[0]].text.await(says(args[1]))
	fmt.Fprint(ts.Stdout(), text)
	return err
}

func (s *story) ended(ts *testscript.TestScript, args []string) error {
	if len(args) != 1 || s.streams[args[0]] == nil {
		return usage("ended NAME, of a stream that was begun")
	}
	text, err := s.streams[args[0]].text.await(func(_ string, ended bool) bool { return ended })
	fmt.Fprint(ts.Stdout(), text)
	return err
}
