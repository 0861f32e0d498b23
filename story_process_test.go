package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// process is a carillon that runs beside the story.
type process struct {
	cmd            *exec.Cmd
	stdout, stderr transcript
	exited         chan struct{} // closed when it has ended; err is set then
	err            error
}

// start runs the binary under test.
func start(dir string, env []string, args ...string) (*process, error) {
	return run(dir, env, exec.Command("carillon", args...))
}

// run runs a command that becomes the binary under test.
func run(dir string, env []string, cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, exited: make(chan struct{})}
	// The race detector's second of grace at each exit would be most of what the stories take.
	p.cmd.Dir, p.cmd.Env = dir, append(env, "GORACE="+os.Getenv("GORACE")+" atexit_sleep_ms=0")
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		p.stdout.end()
		p.stderr.end()
		close(p.exited)
	}()
	return p, nil
}

// signal sends a signal and waits for the end.
func (p *process) signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil {
		return err
	}
	return p.wait()
}

func (p *process) wait() error {
	select {
	case <-p.exited:
		return nil
	case <-time.After(patience):
		p.kill()
		return fmt.Errorf("%w for its end; it said\n%s", errPatience, &p.stderr)
	}
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill() // the error says that it has ended already
	<-p.exited
}

// startGateway starts a gateway and waits until it says where it listens.
func startGateway(dir string, env []string, args ...string) (*process, string, error) {
	p, err := start(dir, env, append([]string{"serve"}, args...)...)
	if err != nil {
		return nil, "", err
	}
	url, err := p.address()
	return p, url, err
}

// address waits until a gateway says where it listens, and kills one that does not.
func (p *process) address() (string, error) {
	const line = "carillon listens on "
	text, err := p.stdout.await(says("\n"))
	if err != nil {
		p.kill()
		return "", fmt.Errorf("the gateway did not start: %w\n%s", err, &p.stderr)
	}
	_, url, found := strings.Cut(strings.TrimSpace(text), line)
	if !found {
		p.kill()
		return "", fmt.Errorf("the gateway said %q", text)
	}
	return url, nil
}

// environment is what the script's variables make for a process.
func environment(ts *testscript.TestScript) []string {
	var env []string
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "CARILLON_ADMIN_KEY", "CARILLON_KEY", "CARILLON_CA_FILE", "CARILLON_MAX_BODY", "CARILLON_SECRETS_KEY"} {
		if v := ts.Getenv(name); v != "" {
			env = append(env, name+"="+v)
		}
	}
	if v := os.Getenv("GOCOVERDIR"); v != "" {
		env = append(env, "GOCOVERDIR="+v)
	}
	return env
}

func (s *story) serve(ts *testscript.TestScript, args []string) error {
	if s.gateway != nil {
		return fmt.Errorf("the gateway runs already")
	}
	// Streams and webhooks that were open before a restart must find it again.
	address := s.address
	if address == "" {
		var err error
		if address, err = freeAddress(); err != nil {
			return err
		}
	}
	p, url, err := startGateway(s.work, environment(ts), append([]string{"--listen", address, "--data", filepath.Join(s.work, "data")}, args...)...)
	if err != nil {
		return err
	}
	s.gateway, s.url, s.address = p, url, strings.TrimPrefix(strings.TrimPrefix(url, "https://"), "http://")
	ts.Setenv("URL", url)
	ts.Setenv("ADDRESS", s.address)
	return nil
}

func (s *story) terminate(ts *testscript.TestScript, args []string) error {
	if err := s.terminating(ts, args); err != nil {
		return err
	}
	return s.terminated(ts, args)
}

func (s *story) terminating(_ *testscript.TestScript, args []string) error {
	if s.gateway == nil || len(args) > 0 {
		return usage("terminate or terminating, while the gateway runs")
	}
	return s.gateway.cmd.Process.Signal(syscall.SIGTERM)
}

func (s *story) terminated(ts *testscript.TestScript, args []string) error {
	p := s.gateway
	if p == nil || len(args) > 0 {
		return usage("terminated, after terminating")
	}
	if err := p.wait(); err != nil {
		return err
	}
	s.gateway = nil
	fmt.Fprint(ts.Stderr(), p.stderr.String())
	if p.err != nil {
		return fmt.Errorf("the gateway did not end as it should: %w\n%s", p.err, &p.stderr)
	}
	return nil
}

func (s *story) kill9(_ *testscript.TestScript, args []string) error {
	if s.gateway == nil || len(args) > 0 {
		return usage("kill9, while the gateway runs")
	}
	select {
	case <-s.gateway.exited:
		return fmt.Errorf("the gateway had ended before: %v\n%s", s.gateway.err, &s.gateway.stderr)
	default:
	}
	s.gateway.kill()
	s.gateway = nil
	return nil
}

func (s *story) wipe(_ *testscript.TestScript, args []string) error {
	if s.gateway != nil || len(args) > 0 {
		return usage("wipe, while the gateway does not run")
	}
	return os.RemoveAll(filepath.Join(s.work, "data"))
}

func (s *story) tail(ts *testscript.TestScript, args []string) error {
	if len(args) < 2 {
		return usage("tail NAME ARG…")
	}
	if s.tails[args[0]] != nil {
		return fmt.Errorf("tail %s runs already", args[0])
	}
	p, err := start(s.work, environment(ts), append([]string{"tail", "--url", s.url}, args[1:]...)...)
	if err != nil {
		return err
	}
	s.tails[args[0]] = p
	return nil
}

func (s *story) tailNamed(args []string, form string, more int) (*process, error) {
	if len(args) != 1+more || s.tails[args[0]] == nil {
		return nil, usage(form + ", of a tail that runs")
	}
	return s.tails[args[0]], nil
}

func (s *story) seen(ts *testscript.TestScript, args []string) error {
	p, err := s.tailNamed(args, "seen NAME COUNT", 1)
	if err != nil {
		return err
	}
	count, err := number(args[1])
	if err != nil {
		return err
	}
	text, err := p.stdout.await(func(text string, _ bool) bool { return strings.Count(text, "\n") >= count })
	fmt.Fprint(ts.Stdout(), text)
	fmt.Fprint(ts.Stderr(), p.stderr.String())
	return err
}

func (s *story) told(ts *testscript.TestScript, args []string) error {
	if len(args) == 2 && args[0] == "gateway" && s.gateway != nil {
		_, err := s.gateway.stderr.await(says(args[1]))
		return err
	}
	p, err := s.tailNamed(args, "told NAME TEXT", 1)
	if err != nil {
		return err
	}
	text, err := p.stderr.await(says(args[1]))
	fmt.Fprint(ts.Stderr(), text)
	return err
}

func (s *story) untail(ts *testscript.TestScript, args []string) error {
	p, err := s.tailNamed(args, "untail NAME", 0)
	if err != nil {
		return err
	}
	delete(s.tails, args[0])
	if err := p.signal(syscall.SIGINT); err != nil {
		return err
	}
	fmt.Fprint(ts.Stdout(), p.stdout.String())
	if p.err != nil {
		return fmt.Errorf("tail %s ended with %w", args[0], p.err)
	}
	return nil
}
