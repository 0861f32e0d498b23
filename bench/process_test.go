package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// full says that the benchmarks of whole processes run at the size that README.md tells of, which takes minutes and
// gigabytes, and not only to show that they still work.
var full = os.Getenv("CARILLON_BENCH") == "full"

// sized returns the size of a full run, or that of a short one.
func sized[T any](whole, short T) T {
	if full {
		return whole
	}
	return short
}

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		os.Exit(play(role))
	}
	code := m.Run()
	if builtIn != "" {
		os.RemoveAll(builtIn)
	}
	os.Exit(code)
}

var builtIn string // the directory of the binary, if one was built

// built is the gateway that is measured: the one that CARILLON_BINARY names, or else this tree's.
var built = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("CARILLON_BINARY"); path != "" {
		return path, nil
	}
	var err error
	if builtIn, err = os.MkdirTemp("", "carillon-bench"); err != nil {
		return "", err
	}
	path := filepath.Join(builtIn, "carillon")
	if out, err := exec.Command("go", "build", "-o", path, "github.com/carillon/carillon").CombinedOutput(); err != nil {
		return "", fmt.Errorf("building: %w\n%s", err, out)
	}
	return path, nil
})

// process is a gateway in a process of its own, so that its memory and its processor time are its alone.
type process struct {
	b      *testing.B
	cmd    *exec.Cmd
	data   string
	addr   string
	base   string
	flags  []string
	stderr bytes.Buffer
	client *http.Client
}

// newProcess starts a gateway on data of its own.
func newProcess(b *testing.B, flags ...string) *process {
	b.Helper()
	p := &process{
		b: b, data: b.TempDir(), addr: freeAddress(b), flags: flags,
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}},
	}
	p.base = "http://" + p.addr
	b.Cleanup(func() {
		p.kill()
		p.client.CloseIdleConnections()
	})
	p.start()
	return p
}

// start returns how long it took from the beginning of the process until it was ready.
func (p *process) start() time.Duration {
	p.b.Helper()
	path, err := built()
	if err != nil {
		p.b.Fatal(err)
	}
	p.stderr.Reset()
	p.cmd = exec.Command(path, append([]string{"serve", "--listen", p.addr, "--data", p.data, "--log-level", "error"}, p.flags...)...)
	p.cmd.Stderr = &p.stderr
	began := time.Now()
	if err := p.cmd.Start(); err != nil {
		p.b.Fatal(err)
	}
	for time.Since(began) < time.Minute {
		resp, err := p.client.Get(p.base + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return time.Since(began)
			}
		}
		time.Sleep(2 * time.Millisecond)
	}
	p.b.Fatal("the gateway is not ready after a minute")
	return 0
}

func (p *process) kill() { p.end(syscall.SIGKILL) }

func (p *process) end(s syscall.Signal) {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Signal(s)
	_ = p.cmd.Wait() // how it ended is seen below
	p.cmd = nil
	if p.stderr.Len() > 0 {
		p.b.Logf("the gateway said:\n%s", &p.stderr)
	}
}

// ask posts JSON and reads the answer.
func (p *process) ask(path, contentType string, body []byte, want int, into any) error {
	resp, err := p.client.Post(p.base+path, contentType, bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != want {
		return fmt.Errorf("POST %s: %s\n%s", path, resp.Status, answer)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer, into)
}

// register registers webhooks from a few clients at once.
func (p *process) register(count int, settings func(i int) string) {
	p.b.Helper()
	var group sync.WaitGroup
	const clients = 8
	for c := range clients {
		group.Go(func() {
			for i := c; i < count; i += clients {
				check(p.b, p.ask("/v1/webhooks", "application/json", []byte(settings(i)), http.StatusCreated, nil))
			}
		})
	}
	group.Wait()
	if p.b.Failed() {
		p.b.FailNow()
	}
}

// cpu is the processor time that the process has used.
func (p *process) cpu() time.Duration {
	p.b.Helper()
	return cpuOf(p.b, p.cmd.Process.Pid)
}

// memory returns lines of /proc/pid/status, such as VmRSS, in MiB.
func (p *process) memory(name string) float64 {
	p.b.Helper()
	return memoryOf(p.b, p.cmd.Process.Pid, name)
}

func memoryOf(b *testing.B, pid int, name string) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		rest, ok := strings.CutPrefix(line, name+":")
		if !ok {
			continue
		}
		kib, err := strconv.Atoi(strings.Fields(rest)[0])
		if err != nil {
			b.Fatal(err)
		}
		return float64(kib) / 1024
	}
	b.Fatalf("there is no %s", name)
	return 0
}

// freeAddress finds a port that nobody listens on and that systems do not give to outgoing connections.
func freeAddress(b *testing.B) string {
	b.Helper()
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(10000))
		if l, err := net.Listen("tcp", address); err == nil {
			check(b, l.Close())
			return address
		}
	}
	b.Fatal(errors.New("no free port between 20000 and 30000"))
	return ""
}

// stored is how large the database is, in MiB, what is on its way into it left out.
func (p *process) stored() float64 {
	p.b.Helper()
	info, err := os.Stat(filepath.Join(p.data, "carillon.db"))
	if err != nil {
		p.b.Fatal(err)
	}
	return float64(info.Size()) / (1 << 20)
}
