package transport

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A client that is slow, and honest, may take all the time that a mebibyte takes at its pace, and the request may then take
// as long as it likes.
func TestSlowAndHonestBodyIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, step = 1 << 20, 4 << 10
		conn, from := pipe(t, func(w http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(r.Body)
			select {
			case <-time.After(time.Hour): // as a poster who waits for webhooks
			case <-r.Context().Done():
			}
			fmt.Fprint(w, len(b), err, r.Context().Err())
		})
		say(t, conn, fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", size))
		part := strings.Repeat("x", step)
		for range size / step {
			time.Sleep(3 * time.Second)
			say(t, conn, part)
		}
		if status, body := readAnswer(t, from); status != http.StatusOK || body != fmt.Sprint(size, error(nil), error(nil)) {
			t.Errorf("status %d, %s", status, body)
		}
	})
}

// A client that sends a byte now and then is cut off, however many are to come.
func TestTricklingBodyIsGivenUp(t *testing.T) {
	for _, head := range []string{"Content-Length: 1000000", "Transfer-Encoding: chunked"} {
		synctest.Test(t, func(t *testing.T) {
			read := make(chan error, 1)
			conn, from := pipe(t, func(w http.ResponseWriter, r *http.Request) {
				_, err := io.ReadAll(r.Body)
				read <- err
				w.WriteHeader(http.StatusRequestTimeout)
			})
			begun := time.Now()
			say(t, conn, "POST / HTTP/1.1\r\nHost: x\r\n"+head+"\r\n\r\n")
			var talking sync.WaitGroup
			talking.Go(func() {
				for {
					if _, err := io.WriteString(conn, "1\r\nx\r\n"); err != nil {
						return
					}
					time.Sleep(10 * time.Second)
				}
			})
			if err := <-read; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the body ended with %v", err)
			}
			if took := time.Since(begun); took > bodyGrace+time.Second {
				t.Errorf("it took %s", took)
			}
			if status, _ := readAnswer(t, from); status != http.StatusRequestTimeout {
				t.Errorf("status %d", status)
			}
			if _, err := from.ReadByte(); err == nil {
				t.Error("the connection goes on")
			}
			conn.Close()
			talking.Wait()
		})
	}
}

// A body that the handler leaves alone holds nobody up either.
func TestUnreadBodyIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, from := pipe(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusForbidden) })
		begun := time.Now()
		say(t, conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx")
		if status, _ := readAnswer(t, from); status != http.StatusForbidden {
			t.Errorf("status %d", status)
		}
		if _, err := from.ReadByte(); err == nil {
			t.Error("the connection goes on")
		}
		if took := time.Since(begun); took > 2*bodyGrace {
			t.Errorf("it took %s", took)
		}
	})
}

// Heads have their time, and connections that say nothing too.
func TestSlowHeadIsGivenUp(t *testing.T) {
	for name, test := range map[string]struct {
		first string
		step  string
		most  time.Duration
	}{
		"nothing":                  {"", "", headerTimeout},
		"a head without end":       {"GET / HTTP/1.1\r\nHost: x\r\n", "X-A: b\r\n", headerTimeout},
		"nothing after an answer":  {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "", idleTimeout},
		"a head after an answer":   {"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n", "X-A: b\r\n", headerTimeout},
		"a request line by letter": {"", "G", headerTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn, from := pipe(t, func(http.ResponseWriter, *http.Request) {})
				begun := time.Now()
				var talking sync.WaitGroup
				talking.Go(func() {
					if _, err := io.WriteString(conn, test.first); err != nil {
						return
					}
					for test.step != "" {
						if _, err := io.WriteString(conn, test.step); err != nil {
							return
						}
						time.Sleep(time.Second)
					}
				})
				if _, err := io.Copy(io.Discard, from); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(begun); took > test.most+time.Second {
					t.Errorf("it took %s", took)
				}
				conn.Close()
				talking.Wait()
			})
		})
	}
}

// An answer that nobody takes is broken off; one that is taken slowly is not.
func TestAnswerMustBeTaken(t *testing.T) {
	const size = 1 << 20
	for _, slow := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			wrote := make(chan error, 1)
			conn, from := pipe(t, func(w http.ResponseWriter, _ *http.Request) {
				n, err := w.Write(make([]byte, size))
				if err == nil && n != size {
					err = io.ErrShortWrite
				}
				wrote <- err
			})
			begun := time.Now()
			say(t, conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			if slow {
				got := 0
				for b := make([]byte, 8<<10); ; time.Sleep(2 * time.Second) {
					n, err := from.Read(b)
					got += n
					if err != nil {
						break
					}
				}
				if err := <-wrote; err != nil || got < size {
					t.Errorf("%d bytes, %v", got, err)
				}
				return
			}
			if err := <-wrote; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the answer ended with %v", err)
			}
			if took := time.Since(begun); took > answerStall+time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

// A handler that sets its own deadlines, as a stream does, has them.
func TestDeadlinesOfTheHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		conn, from := pipe(t, func(w http.ResponseWriter, r *http.Request) {
			control := http.NewResponseController(w)
			if err := errors.Join(control.SetReadDeadline(time.Time{}), control.SetWriteDeadline(time.Time{})); err != nil {
				t.Error(err)
			}
			_, err := io.ReadAll(r.Body)
			for range 100 {
				_, writeErr := w.Write(make([]byte, 1<<10))
				err = errors.Join(err, writeErr)
			}
			ended <- err
		})
		say(t, conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n")
		time.Sleep(10 * time.Minute)
		say(t, conn, "x")
		time.Sleep(10 * time.Minute)
		var reading sync.WaitGroup
		reading.Go(func() { _, _ = io.Copy(io.Discard, from) })
		if err := <-ended; err != nil {
			t.Errorf("the request ended with %v", err)
		}
		conn.Close()
		reading.Wait()
	})
}

// What may have been framed twice is the last on its connection.
func TestNothingFollowsWhatMayHaveBeenFramedTwice(t *testing.T) {
	for head, goesOn := range map[string]bool{
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc":                                                      true,
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n":                                       false,
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n":                  false,
		"POST / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n": false,
		"GET / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n":                                                     false,
	} {
		synctest.Test(t, func(t *testing.T) {
			requests := 0
			conn, from := pipe(t, func(_ http.ResponseWriter, r *http.Request) {
				requests++
				_, _ = io.Copy(io.Discard, r.Body)
			})
			var talking sync.WaitGroup
			talking.Go(func() {
				_, _ = io.WriteString(conn, head+"GET /second HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			})
			answers, err := io.ReadAll(from)
			if err != nil {
				t.Error(err)
			}
			if n := strings.Count(string(answers), "HTTP/1."); n != requests || (n == 2) != goesOn || n == 0 {
				t.Errorf("%q: %d requests, answered\n%s", head, requests, answers)
			}
			conn.Close()
			talking.Wait()
		})
	}
}
