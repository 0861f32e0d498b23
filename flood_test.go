package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// rss is how much memory a process has, in bytes.
func rss(t *testing.T, p *process) int64 {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells how much memory another process has")
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	t.Fatal("the system does not say how much memory the gateway has")
	return 0
}

// allowed is what a gateway may grow by in this build.
func allowed(bytes int64) int64 {
	if raced {
		return 5 * bytes
	}
	return bytes
}

// another is a client at another address of loopback, which must be served whatever the others do.
func another(t *testing.T) *http.Client {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	to := &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(to.CloseIdleConnections)
	return &http.Client{Transport: to, Timeout: patience}
}

// isServed posts an event.
func isServed(t *testing.T, client *http.Client, url string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", url+"/v1/topics/a/events", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+hostileKey)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		t.Fatalf("another client was answered %s", resp.Status)
	}
}

// Ten thousand connections from one address, each of which begins a request and does not go on: as many as one address may
// have are held, the others are closed at once, and everybody else is served. Where they are held all, as they may be where
// proxies are trusted, they cost what is said in docs/operations.md.
func TestTenThousandConnections(t *testing.T) {
	const (
		all        = 10_000
		perAddress = 1000
		more       = 64 << 20 // what the gateway may grow by besides what each connection may take
		each       = 32 << 10
	)
	for name, test := range map[string]struct {
		args []string
		held int
	}{
		"from one client": {[]string{"--connections-count-loopback"}, perAddress},
		"from a proxy":    {[]string{"--connections-count-loopback", "--trusted-proxies", "127.0.0.1/32"}, all},
	} {
		t.Run(name, func(t *testing.T) {
			gateway, url := hostileGateway(t, test.args...)
			client := another(t)
			isServed(t, client, url)
			before := rss(t, gateway)

			var refused atomic.Int64
			var clients sync.WaitGroup
			begin := make(chan struct{}, 100) // so many connect at a time
			release := make(chan struct{})
			var begun sync.WaitGroup
			begun.Add(all)
			for range all {
				begin <- struct{}{}
				clients.Go(func() {
					conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
					if err == nil {
						_, err = io.WriteString(conn, "GET /healthz HTTP/1.1\r\nX-Slow: ")
					}
					<-begin
					begun.Done()
					if err != nil {
						refused.Add(1)
						return
					}
					defer conn.Close()
					gone := make(chan struct{})
					go func() {
						defer close(gone)
						if _, err := conn.Read(make([]byte, 1)); errors.Is(err, io.EOF) || err != nil {
							select {
							case <-release:
							default:
								refused.Add(1)
							}
						}
					}()
					<-release
					conn.Close()
					<-gone
				})
			}
			begun.Wait()
			isServed(t, client, url)
			grown := rss(t, gateway) - before
			isServed(t, client, url)
			refusedByNow := refused.Load()
			close(release)
			clients.Wait()
			t.Logf("%d of %d refused or timed out; the gateway grew by %d MiB", refusedByNow, all, grown>>20)
			if bound := allowed(more + each*int64(test.held)); grown > bound {
				t.Errorf("the gateway grew by %d bytes, more than %d", grown, bound)
			}
			waitUntil(t, patience, "the connections to be counted down", func() bool { return metric(t, client, url, "carillon_connections_open") <= 1 })
			if n := metric(t, client, url, `carillon_connections_refused_total{reason="address"}`); test.held == all && n != 0 || test.held < all && n == 0 {
				t.Errorf("%v connections were refused", n)
			}
			isServed(t, client, url)
		})
	}
}

// metric is the value of one line of /metrics.
func metric(t *testing.T, client *http.Client, url, name string) float64 {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", url+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+hostileKey)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			var value float64
			if _, err := fmt.Sscan(rest, &value); err == nil {
				return value
			}
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

// openHTTP2 opens a connection of HTTP/2 and returns what the gateway allows on it.
func openHTTP2(t *testing.T, address string) (*tls.Conn, *http2.Framer, map[http2.SettingID]uint32) {
	t.Helper()
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(conn, conn)
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	frame, err := framer.ReadFrame()
	if err != nil {
		t.Fatal(err)
	}
	settings := map[http2.SettingID]uint32{}
	first, ok := frame.(*http2.SettingsFrame)
	if !ok {
		t.Fatalf("the gateway begins with %v", frame)
	}
	_ = first.ForeachSetting(func(s http2.Setting) error { // fn gives none
		settings[s.ID] = s.Val
		return nil
	})
	if err := framer.WriteSettingsAck(); err != nil {
		t.Fatal(err)
	}
	return conn, framer, settings
}

// Requests that are reset as soon as they are made (CVE-2023-44487), and a head that never ends (CVE-2023-45288), cost the
// gateway little and others nothing.
func TestFloodsOverHTTP2(t *testing.T) {
	certFile, keyFile, _, err := writeCertificate(t.TempDir(), "gateway.test")
	if err != nil {
		t.Fatal(err)
	}
	gateway, url := hostileGateway(t, "--tls-cert", certFile, "--tls-key", keyFile)
	address := strings.TrimPrefix(url, "https://")
	client := another(t)
	isServed(t, client, url)

	_, _, settings := openHTTP2(t, address)
	if settings[http2.SettingMaxConcurrentStreams] != 100 || settings[http2.SettingMaxHeaderListSize] < 64<<10 || settings[http2.SettingMaxHeaderListSize] > 80<<10 {
		t.Errorf("the gateway allows %v", settings)
	}
	before := rss(t, gateway)
	head := func(path string) []byte {
		var b bytes.Buffer
		e := hpack.NewEncoder(&b)
		for _, f := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "gateway.test"}, {":path", path}, {"authorization", "Bearer " + hostileKey}} {
			if err := e.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
				t.Fatal(err)
			}
		}
		return b.Bytes()
	}

	// Each is a stream, which would last, had it not been reset.
	var floods sync.WaitGroup
	for range 4 {
		conn, framer, _ := openHTTP2(t, address)
		// What it answers is read and thrown away; the flood ends when the gateway closes the connection.
		floods.Go(func() { _, _ = io.Copy(io.Discard, conn) })
		floods.Go(func() {
			defer conn.Close()
			var stream bytes.Buffer
			e := hpack.NewEncoder(&stream)
			for i := range uint32(20_000) {
				stream.Reset()
				for _, f := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "gateway.test"}, {":path", "/v1/stream?topic=a"}, {"authorization", "Bearer " + hostileKey}} {
					if err := e.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
						return
					}
				}
				id := 2*i + 1
				if framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: stream.Bytes(), EndStream: true, EndHeaders: true}) != nil ||
					framer.WriteRSTStream(id, http2.ErrCodeCancel) != nil {
					return
				}
			}
		})
	}
	isServed(t, client, url)
	floods.Wait()

	// A head of which there is always more: the gateway must not hear it out.
	conn, framer, _ := openHTTP2(t, address)
	if err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: head("/healthz"), EndStream: true}); err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{})
	floods.Go(func() {
		defer close(closed)
		_, _ = io.Copy(io.Discard, conn)
	})
	var more bytes.Buffer
	if err := hpack.NewEncoder(&more).WriteField(hpack.HeaderField{Name: "x-more", Value: strings.Repeat("x", 8<<10), Sensitive: true}); err != nil {
		t.Fatal(err)
	}
	sent := 0
	for sent < 64<<20 && framer.WriteContinuation(1, false, more.Bytes()) == nil {
		sent += more.Len()
	}
	if sent >= 64<<20 {
		t.Error("the gateway hears a head out that never ends")
	}
	<-closed
	floods.Wait()

	isServed(t, client, url)
	if grown := rss(t, gateway) - before; grown > allowed(128<<20) {
		t.Errorf("the gateway grew by %d MiB", grown>>20)
	} else {
		t.Logf("the gateway grew by %d MiB; it heard %d KiB of the head", grown>>20, sent>>10)
	}
	waitUntil(t, patience, "the streams to be gone", func() bool { return metric(t, client, url, "carillon_streams_open") == 0 })
}
