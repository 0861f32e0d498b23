package stream_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/stream"
)

const benchPayload = 200 // bytes of an event's payload

// BenchmarkFanOut sends one event to many streams over loopback TCP. One operation is one event to all of them;
// cpu-µs/msg is the whole process's, readers included, for each message that one stream got.
//
// floor is a loop that writes one prepared frame of the same size to each socket. paced waits until everybody has the
// event before it posts the next; burst posts a hundred at a time.
func BenchmarkFanOut(b *testing.B) {
	for _, n := range []int{100, 1000} {
		b.Run(fmt.Sprintf("floor/streams=%d", n), func(b *testing.B) { benchFloor(b, n) })
		b.Run(fmt.Sprintf("paced/streams=%d", n), func(b *testing.B) { benchHub(b, n, 1) })
		b.Run(fmt.Sprintf("burst/streams=%d", n), func(b *testing.B) { benchHub(b, n, 100) })
	}
}

// frameEnd closes every event of the benchmark, and nothing else that is on its streams.
var frameEnd = []byte("x\n\n")

// countEnds reports each event that it reads to got, until the connection ends.
func countEnds(r io.Reader, got func(events int)) {
	buf := make([]byte, 64<<10)
	kept := 0
	for {
		n, err := r.Read(buf[kept:])
		if err != nil {
			return
		}
		seen := buf[:kept+n]
		if events := bytes.Count(seen, frameEnd); events > 0 {
			got(events)
			// What was counted must not be counted again.
			seen = seen[bytes.LastIndex(seen, frameEnd)+len(frameEnd):]
		}
		kept = copy(buf, seen[max(0, len(seen)-len(frameEnd)+1):])
	}
}

func processCPU(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measure runs one event to n streams b.N times, and awaits each group of burst events.
func measure(b *testing.B, n, burst int, post func(events int), got <-chan int) {
	cpu := processCPU(b)
	b.ResetTimer()
	for left := b.N; left > 0; {
		events := min(left, burst)
		left -= events
		post(events)
		for missing := events * n; missing > 0; {
			missing -= <-got
		}
	}
	b.StopTimer()
	messages := float64(b.N) * float64(n)
	b.ReportMetric(float64((processCPU(b)-cpu).Nanoseconds())/1e3/messages, "cpu-µs/msg")
	b.ReportMetric(messages/b.Elapsed().Seconds(), "msg/s")
}

func benchFloor(b *testing.B, n int) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer listener.Close()
	got := make(chan int, n)
	var readers sync.WaitGroup
	defer readers.Wait()
	sockets := make([]net.Conn, n)
	for i := range sockets {
		conn, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		if sockets[i], err = listener.Accept(); err != nil {
			b.Fatal(err)
		}
		defer sockets[i].Close()
		readers.Go(func() {
			defer conn.Close()
			countEnds(conn, func(events int) { got <- events })
		})
	}
	frame := fmt.Appendf(nil, "id: %s\ndata: %s\n\n", event.Cursor(1), payloadOf(benchPayload))
	measure(b, n, 1, func(int) {
		for _, s := range sockets {
			if _, err := s.Write(frame); err != nil {
				b.Fatal(err)
			}
		}
	}, got)
}

func payloadOf(size int) []byte {
	p := bytes.Repeat([]byte("."), size)
	p[size-1] = 'x'
	return p
}

func benchHub(b *testing.B, n, burst int) {
	log := newMemLog()
	hub := runHub(b, stream.Config{Log: log})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := hub.Serve(w, r, subscribe("bench.*")); err != nil {
			b.Error(err)
		}
	}))
	defer server.Close()
	got := make(chan int, n)
	var readers sync.WaitGroup
	defer readers.Wait()
	for range n {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: bench\r\n\r\n"); err != nil {
			b.Fatal(err)
		}
		// The stream is open when its id has come.
		var opening []byte
		for !bytes.Contains(opening, []byte("\nid: ")) {
			piece := make([]byte, 4096)
			read, err := conn.Read(piece)
			if err != nil && !errors.Is(err, io.EOF) {
				b.Fatal(err)
			}
			opening = append(opening, piece[:read]...)
		}
		readers.Go(func() { countEnds(conn, func(events int) { got <- events }) })
	}
	payload := payloadOf(benchPayload)
	payloads := make([][]byte, burst)
	for i := range payloads {
		payloads[i] = payload
	}
	measure(b, n, burst, func(events int) { log.append(tenantA, "bench.x", payloads[:events]...) }, got)
}
