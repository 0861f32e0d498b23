package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"carillon": main})
}

// TestStories runs the scripts in testdata/script against the real binary: each is what a user does and sees. Their
// commands, besides those of testscript:
//
//	serve [flag…]                  start the gateway, with its data in $WORK/data, and set URL; later ones keep its address
//	terminate, kill9               end it by SIGTERM (it must exit 0) or SIGKILL
//	terminating, terminated        the same as terminate, in two steps
//	http STATUS METHOD PATH […]    a request: -H 'Name: value', -d BODY, -f FILE; the answer's head goes to stderr, its body to stdout
//	get NAME PATH                  set a variable to a part of the last JSON answer, such as data.0.id
//	portal NAME                    set a variable to the token of the portal link in the last JSON answer
//	printed NAME PATH              set a variable to a part of the JSON that was printed last
//	expect PATH VALUE              a part of the last JSON answer is this
//	until PATH VALUE URLPATH       ask again until it is
//	flood TOPIC FROM TO            post the numbers as events, one after the other
//	receiver NAME ANSWER…          a webhook receiver at $NAME: each answer is a status or hang, the last one stays; -b BODY
//	received NAME COUNT            wait until it got so many requests, and print them
//	silent NAME COUNT              it got so many requests, and no more
//	release NAME                   let the requests go that hang
//	verify NAME SECRET             the Standard Webhooks library accepts all that it got
//	tail NAME ARG…                 carillon tail in the background
//	seen NAME COUNT                wait until it printed so many lines, and print all of them
//	told NAME TEXT                 wait until it, or gateway, said so on stderr
//	untail NAME                    end it
//	stream NAME PATH [-H …]        read a stream in the background, byte for byte
//	streamed NAME TEXT             wait until the text was in it, and print all of it
//	ended NAME                     wait until it has ended, and print all of it
//	jwt NAME FILE LIFETIME CLAIMS  set a variable to a JWT, signed with the secret in the file
//	wipe                           remove the gateway's data
//	certificate NAME               make a certificate for 127.0.0.1 and a name, in $WORK/cert.pem and key.pem, and trust it
//	shows NAME                     wait until the gateway's certificate is for that name
func TestStories(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(e *testscript.Env) error {
			s := &story{work: e.WorkDir, receivers: map[string]*receiver{}, tails: map[string]*process{}, streams: map[string]*rawStream{}, transport: http.DefaultTransport.(*http.Transport).Clone()}
			e.Values[storyKey{}] = s
			e.Setenv("GORACE", "atexit_sleep_ms=0")
			e.Defer(s.close)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serve": command((*story).serve), "terminate": command((*story).terminate), "terminating": command((*story).terminating), "terminated": command((*story).terminated), "kill9": command((*story).kill9), "wipe": command((*story).wipe),
			"http": command((*story).http), "get": command((*story).get), "portal": command((*story).portal), "printed": command((*story).printed), "expect": command((*story).expect), "until": command((*story).until),
			"flood":    command((*story).flood),
			"jwt":      command((*story).jwt),
			"receiver": command((*story).receive), "received": command((*story).received), "silent": command((*story).silent),
			"release": command((*story).release), "verify": command((*story).verify),
			"tail": command((*story).tail), "seen": command((*story).seen), "told": command((*story).told), "untail": command((*story).untail),
			"stream": command((*story).stream), "streamed": command((*story).streamed), "ended": command((*story).ended),
			"certificate": command((*story).certificate), "shows": command((*story).shows),
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// A poster who waits is not left alone when the gateway stops: the receipt says that the event is stored.
func TestWaitingPosterGetsItsReceiptWhenTheGatewayStops(t *testing.T) {
	gateway, url := browse(t, nil, "--listen", "127.0.0.1:0", "--data", t.TempDir(), "--drain", "4s")
	hook := &receiver{answers: []string{"hang"}, released: make(chan struct{})}
	hook.server = httptest.NewServer(hook)
	defer hook.close()
	register(t, url, hook.server.URL)

	type answer struct {
		status int
		err    error
	}
	answered := make(chan answer, 1)
	go func() {
		req, err := http.NewRequestWithContext(t.Context(), "POST", url+"/v1/topics/signed/events", strings.NewReader("x"))
		if err != nil {
			answered <- answer{0, err}
			return
		}
		req.Header.Set("Prefer", "wait=60")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			answered <- answer{0, err}
			return
		}
		answered <- answer{resp.StatusCode, resp.Body.Close()}
	}()
	if _, err := hook.log.await(says("got one")); err != nil {
		t.Fatal(err)
	}
	if err := gateway.signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if gateway.err != nil {
		t.Errorf("the gateway ended with %v\n%s", gateway.err, &gateway.stderr)
	}
	if a := <-answered; a.err != nil || a.status != http.StatusAccepted {
		t.Errorf("the poster got %d, %v", a.status, a.err)
	}
}

// Whoever cannot wait for the drain time sends the signal again.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	gateway, url := browse(t, nil, "--listen", "127.0.0.1:0", "--data", t.TempDir(), "--drain", "1h")
	hook := &receiver{answers: []string{"hang"}, released: make(chan struct{})}
	hook.server = httptest.NewServer(hook)
	defer hook.close()
	register(t, url, hook.server.URL)
	post(t, url, "signed", "text/plain", "x")
	if _, err := hook.log.await(says("got one")); err != nil {
		t.Fatal(err)
	}
	if err := gateway.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if _, err := gateway.stderr.await(says("msg=stopping")); err != nil {
		t.Fatal(err)
	}
	// The process may still be busy with the first one.
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	deadline := time.After(patience)
	for running := true; running; {
		_ = gateway.cmd.Process.Signal(syscall.SIGINT) // its error is that the process has ended
		select {
		case <-gateway.exited:
			running = false
		case <-again.C:
		case <-deadline:
			t.Fatal("the gateway goes on")
		}
	}
	var exit *exec.ExitError
	if !errors.As(gateway.err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGINT {
		t.Errorf("the gateway ended with %v", gateway.err)
	}
}

// patience is how long a story waits for what should come at once, on a machine that is busy with other things.
const patience = 60 * time.Second

// story is what one script has set going.
type story struct {
	work string

	gateway *process
	address string // of the gateway, kept over restarts
	url     string

	answer    []byte // the body of the last answer
	receivers map[string]*receiver
	tails     map[string]*process
	streams   map[string]*rawStream

	transport *http.Transport
}

type storyKey struct{}

// command makes a script's command of a step; a step that fails fails the story.
func command(step func(*story, *testscript.TestScript, []string) error) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg {
			ts.Fatalf("! has no meaning here")
		}
		if err := step(ts.Value(storyKey{}).(*story), ts, args); err != nil {
			ts.Fatalf("%v", err)
		}
	}
}

// close ends whatever still runs.
func (s *story) close() {
	for _, p := range s.tails {
		p.kill()
	}
	for _, st := range s.streams {
		st.close()
	}
	if s.gateway != nil {
		s.gateway.kill()
	}
	for _, r := range s.receivers {
		r.close()
	}
	s.transport.CloseIdleConnections()
}

// usage is the error of a step with the wrong arguments.
func usage(form string) error { return fmt.Errorf("usage: %s", form) }

var errPatience = errors.New("waited for too long")

// transcript is a text that grows while others wait for what it will say. Its zero value is empty.
type transcript struct {
	mu    sync.Mutex
	text  strings.Builder
	ended bool
	grown chan struct{} // closed when the text grows; nil while nobody waits
}

// Write implements [io.Writer].
func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text.Write(p)
	t.tell()
	return len(p), nil
}

func (t *transcript) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	t.tell()
}

func (t *transcript) tell() {
	if t.grown != nil {
		close(t.grown)
		t.grown = nil
	}
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

// await waits until ok, which is asked with the text so far and whether it has ended.
func (t *transcript) await(ok func(text string, ended bool) bool) (string, error) {
	deadline := time.After(patience)
	for {
		t.mu.Lock()
		text, ended := t.text.String(), t.ended
		if t.grown == nil {
			t.grown = make(chan struct{})
		}
		grown := t.grown
		t.mu.Unlock()
		switch {
		case ok(text, ended):
			return text, nil
		case ended:
			return text, fmt.Errorf("ended with\n%s", text)
		}
		select {
		case <-grown:
		case <-deadline:
			return text, fmt.Errorf("%w; it was\n%s", errPatience, text)
		}
	}
}

// says is a condition for await.
func says(want string) func(string, bool) bool {
	return func(text string, _ bool) bool { return strings.Contains(text, want) }
}

// A gateway that can no longer store what it accepts must not stay up: whoever watches the process has to see that it
// failed. A limit on the size of files stands for the disk that breaks.
func TestBrokenStoreFailsTheProcess(t *testing.T) {
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("there is no shell to limit the gateway with")
	}
	// A unit is 512 or 1024 bytes. A gateway that is new writes a fifth of the smaller limit.
	cmd := exec.Command(shell, "-c", `ulimit -f 1000 && exec carillon serve --listen 127.0.0.1:0 --data data --drain 1s`)
	gateway, err := run(t.TempDir(), []string{"PATH=" + os.Getenv("PATH")}, cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(gateway.kill)
	url, err := gateway.address()
	if err != nil {
		t.Fatal(err)
	}
	payload := strings.Repeat("x", 900<<10)
	for range 2 {
		resp, err := http.Post(url+"/v1/topics/a/events", "text/plain", strings.NewReader(payload))
		if err != nil {
			break // it has ended
		}
		resp.Body.Close()
	}
	if err := gateway.wait(); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if !errors.As(gateway.err, &exit) || exit.ExitCode() != 1 || !strings.Contains(gateway.stderr.String(), "carillon: the store has failed: ") {
		t.Errorf("it ended with %v\n%s", gateway.err, &gateway.stderr)
	}
}
