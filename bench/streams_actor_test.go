package bench

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// roleVariable names what this test binary is to be instead of a test: a process of its own, so that its processor time
// and its memory are its alone, or so that it can be nice.
const roleVariable = "CARILLON_BENCH_ROLE"

// A role takes the arguments that the process was started with, does what lines ask for, and answers with lines. It
// returns when there are no more of them, so that no process outlives the benchmark.
var roles = map[string]func(args []string, lines *bufio.Scanner, answer io.Writer) error{
	"floor":   playFloor,
	"peer":    playPeer,
	"readers": playReaders,
}

// play returns the process's exit code.
func play(role string) int {
	if err := roles[role](os.Args[1:], bufio.NewScanner(os.Stdin), os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", role, err)
		return 1
	}
	return 0
}

// actor is a process that plays a role.
type actor struct {
	b     *testing.B
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string
}

// newActor starts a process for a role, which gives way to all others if it is nice.
func newActor(b *testing.B, role string, nice bool, args ...string) *actor {
	b.Helper()
	command := append([]string{os.Args[0]}, args...)
	if nice {
		command = append([]string{"nice", "-n", "19"}, command...)
	}
	a := &actor{b: b, cmd: exec.Command(command[0], command[1:]...), lines: make(chan string)}
	a.cmd.Env = append(os.Environ(), roleVariable+"="+role)
	a.cmd.Stderr = os.Stderr
	var err error
	if a.in, err = a.cmd.StdinPipe(); err != nil {
		b.Fatal(err)
	}
	out, err := a.cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := a.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	over := make(chan struct{})
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(a.lines)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			select {
			case a.lines <- lines.Text():
			case <-over:
				return
			}
		}
	}()
	b.Cleanup(func() {
		close(over)
		a.in.Close()
		_ = a.cmd.Process.Kill()
		<-read
		_ = a.cmd.Wait() // killed
	})
	return a
}

// tell asks for something.
func (a *actor) tell(format string, values ...any) {
	a.b.Helper()
	if _, err := fmt.Fprintf(a.in, format+"\n", values...); err != nil {
		a.b.Fatal(err)
	}
}

// hear waits for an answer that begins with this word, and returns what follows it.
func (a *actor) hear(word string, most time.Duration) string {
	a.b.Helper()
	select {
	case line := <-a.lines:
		rest, ok := strings.CutPrefix(line, word+" ")
		if !ok {
			a.b.Fatalf("heard %q instead of %q", line, word)
		}
		return rest
	case <-time.After(most):
		a.b.Fatalf("did not hear %q in %s", word, most)
	}
	return ""
}

func (a *actor) cpu() time.Duration {
	a.b.Helper()
	return cpuOf(a.b, a.cmd.Process.Pid)
}
