package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// hostileGateway starts a gateway whose clients are hostile. It has a key, as one that faces the internet.
func hostileGateway(t *testing.T, args ...string) (*process, string) {
	t.Helper()
	gateway, url, err := startGateway(t.TempDir(), []string{"PATH=" + os.Getenv("PATH"), "CARILLON_ADMIN_KEY=" + hostileKey},
		append([]string{"--listen", "127.0.0.1:0", "--data", t.TempDir()}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		gateway.kill()
		if t.Failed() {
			t.Logf("the gateway said\n%s", &gateway.stderr)
		}
	})
	return gateway, url
}

const hostileKey = "0123456789abcdef"

// rawExchange sends bytes and returns the statuses of all answers, in order, and whether the gateway closed the connection.
func rawExchange(t *testing.T, address, sent string) (statuses []int, bodies string, closed bool) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// One that is left open is known by an answer to a request that is certainly whole.
	const last = "GET /healthz?last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
	written := make(chan struct{})
	go func() {
		defer close(written)
		_, _ = io.WriteString(conn, sent) // the gateway may have heard enough
	}()
	defer func() { <-written }()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	from := bufio.NewReader(conn)
	for {
		resp, err := http.ReadResponse(from, nil)
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("nothing came after %d", statuses)
			}
			return statuses, bodies, true
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatalf("the answer broke off: %v", err)
		}
		if resp.StatusCode == http.StatusContinue {
			continue
		}
		statuses, bodies = append(statuses, resp.StatusCode), bodies+string(body)
		if resp.Close {
			_, err := from.ReadByte()
			if err == nil {
				t.Fatal("the gateway says more after its last answer")
			}
			return statuses, bodies, true
		}
		if from.Buffered() == 0 && len(statuses) == 1+strings.Count(sent, "/further ") {
			<-written
			if _, err := io.WriteString(conn, last); err != nil {
				return statuses, bodies, true
			}
			resp, err := http.ReadResponse(from, nil)
			if err != nil {
				return statuses, bodies, true
			}
			return statuses, bodies, resp.StatusCode != http.StatusOK
		}
	}
}

// What is framed in two ways, or in none, is refused and the connection closed; never does a part of one request become
// another. Each line is what is sent byte for byte: where the request in front was taken for shorter than it is, /smuggled
// would be answered.
func TestSmuggling(t *testing.T) {
	_, url := hostileGateway(t)
	address := strings.TrimPrefix(url, "http://")
	const (
		key      = "Authorization: Bearer " + hostileKey + "\r\n"
		post     = "POST /v1/topics/a/events HTTP/1.1\r\nHost: x\r\n" + key
		smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n" + key + "\r\n"
		further  = "GET /further HTTP/1.1\r\nHost: x\r\n" + key + "\r\n"
	)
	for name, test := range map[string]struct {
		sent   string
		want   []int
		closed bool
	}{
		"honest":                    {post + "Content-Length: 3\r\n\r\nabc", []int{202}, false},
		"pipelined":                 {post + "Content-Length: 3\r\n\r\nabc" + further + further, []int{202, 404, 404}, false},
		"chunked":                   {post + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" + smuggled, []int{202}, true},
		"CL and TE":                 {post + fmt.Sprintf("Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 5+len(smuggled)) + smuggled, []int{202}, true},
		"TE and CL":                 {post + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n3\r\nabc\r\n0\r\n\r\n" + smuggled, []int{202}, true},
		"CL that is none, and TE":   {post + "Content-Length: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled, []int{400}, true},
		"two CLs":                   {post + "Content-Length: 3\r\nContent-Length: 0\r\n\r\nabc" + smuggled, []int{400}, true},
		"two CLs in one":            {post + "Content-Length: 3, 0\r\n\r\nabc" + smuggled, []int{400}, true},
		"the same CL twice":         {post + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc" + further, []int{202, 404}, false},
		"negative CL":               {post + "Content-Length: -3\r\n\r\nabc" + smuggled, []int{400}, true},
		"CL with a sign":            {post + "Content-Length: +3\r\n\r\nabc" + smuggled, []int{400}, true},
		"CL in hex":                 {post + "Content-Length: 0x3\r\n\r\nabc" + smuggled, []int{400}, true},
		"CL with a space":           {post + "Content-Length: 3 0\r\n\r\nabc" + smuggled, []int{400}, true},
		"CL too large for anybody":  {post + "Content-Length: 99999999999999999999\r\n\r\nabc" + smuggled, []int{400}, true},
		"empty CL":                  {post + "Content-Length: \r\n\r\nabc" + smuggled, []int{400}, true},
		"TE identity":               {post + "Transfer-Encoding: identity\r\n\r\nabc" + smuggled, []int{501}, true},
		"TE identity with CL":       {post + "Content-Length: 3\r\nTransfer-Encoding: identity\r\n\r\nabc" + smuggled, []int{501}, true},
		"TE gzip, chunked":          {post + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + smuggled, []int{501}, true},
		"TE twice":                  {post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + smuggled, []int{501}, true},
		"TE xchunked":               {post + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + smuggled, []int{501}, true},
		"TE with a control byte":    {post + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + smuggled, []int{400}, true},
		"TE in quotes":              {post + "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n" + smuggled, []int{501}, true},
		"TE folded":                 {post + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + smuggled, []int{202}, true},
		"TE after a space":          {post + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + smuggled, []int{400}, true},
		"CL after a space":          {post + "Content-Length : 3\r\n\r\nabc" + smuggled, []int{400}, true},
		"TE in HTTP/1.0":            {strings.Replace(post, "HTTP/1.1", "HTTP/1.0", 1) + "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" + smuggled, []int{202}, true},
		"a chunk's size overflows":  {post + "Transfer-Encoding: chunked\r\n\r\n10000000000000003\r\nabc\r\n0\r\n\r\n" + smuggled, []int{400}, true},
		"a chunk's size is none":    {post + "Transfer-Encoding: chunked\r\n\r\nxyz\r\nabc\r\n0\r\n\r\n" + smuggled, []int{400}, true},
		"a chunk's size is signed":  {post + "Transfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n" + smuggled, []int{400}, true},
		"a chunk's size is 0x3":     {post + "Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n" + smuggled, []int{400}, true},
		"a chunk is longer":         {post + "Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n" + smuggled, []int{400}, true},
		"a chunk's size ends in LF": {post + "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n" + smuggled, []int{400}, true},
		"extensions without end":    {post + "Transfer-Encoding: chunked\r\n\r\n1;" + strings.Repeat("x", 1<<20) + "\r\na\r\n0\r\n\r\n" + smuggled, []int{400}, true},
		"a trailer frames":          {post + "Transfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n0\r\nContent-Length: 5\r\n\r\n" + smuggled, []int{400}, true},
		"a head that ends in LFs":   {"POST /v1/topics/a/events HTTP/1.1\nHost: x\n" + strings.ReplaceAll(key, "\r", "") + "Content-Length: 3\n\nabc" + further, []int{202, 404}, false},
		"a bare CR":                 {post + "X-A: a\rContent-Length: 3\r\n\r\nabc" + smuggled, []int{400}, true},
		"a line folded":             {post + "X-A: a\r\n Content-Length: 7\r\nContent-Length: 3\r\n\r\nabc" + further, []int{202, 404}, false},
		"the first line folded":     {"GET /healthz HTTP/1.1\r\n Host: x\r\nHost: x\r\n\r\n" + smuggled, []int{400}, true},
		"NUL in a value":            {post + "X-A: a\x00b\r\n\r\n" + smuggled, []int{400}, true},
		"NUL in a name":             {post + "X-\x00A: b\r\n\r\n" + smuggled, []int{400}, true},
		"no colon":                  {post + "X-A\r\n\r\n" + smuggled, []int{400}, true},
		"no name":                   {post + ": b\r\n\r\n" + smuggled, []int{400}, true},
		"no version":                {"GET /healthz\r\n\r\n" + smuggled, []int{400}, true},
		"HTTP/3.0":                  {"GET /healthz HTTP/3.0\r\nHost: x\r\n\r\n" + smuggled, []int{505}, true},
		"HTTP/1.10":                 {"GET /healthz HTTP/1.10\r\nHost: x\r\n\r\n" + smuggled, []int{400}, true},
		"two spaces":                {"GET  /healthz HTTP/1.1\r\nHost: x\r\n\r\n" + smuggled, []int{400}, true},
		"a method that is none":     {"G(T /healthz HTTP/1.1\r\nHost: x\r\n\r\n" + smuggled, []int{400}, true},
		"no Host":                   {"GET /healthz HTTP/1.1\r\n\r\n" + smuggled, []int{400}, true},
		"two Hosts":                 {"GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n" + smuggled, []int{400}, true},
		"a Host that is none":       {"GET /healthz HTTP/1.1\r\nHost: x/y z\r\n\r\n" + smuggled, []int{400}, true},
		"an absolute target":        {"GET http://y/healthz HTTP/1.1\r\nHost: x\r\n\r\n" + further, []int{200, 404}, false},
		"another's target":          {"GET http://y/absent HTTP/1.1\r\nHost: x\r\n" + key + "\r\n", []int{404}, false},
		"a target that is none":     {"GET healthz HTTP/1.1\r\nHost: x\r\n\r\n" + smuggled, []int{400}, true},
		"OPTIONS *":                 {"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n" + further, []int{404, 404}, false},
		"CONNECT":                   {"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n" + further, []int{404, 404}, false},
		"an upgrade":                {"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n" + further, []int{200, 404}, false},
		"HTTP/2 without TLS":        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + smuggled, []int{404}, true},
		"TLS":                       {"\x16\x03\x01\x00\x05hello\r\n\r\n" + smuggled, []int{400}, true},
		"a body with GET":           {"GET /absent HTTP/1.1\r\nHost: x\r\n" + key + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(smuggled)) + smuggled, []int{404}, false},
		"Expect of something else":  {post + "Content-Length: 3\r\nExpect: 200-ok\r\n\r\nabc" + smuggled, []int{417}, true},
	} {
		t.Run(name, func(t *testing.T) {
			statuses, bodies, closed := rawExchange(t, address, test.sent)
			if fmt.Sprint(statuses) != fmt.Sprint(test.want) || closed != test.closed {
				t.Errorf("answered %d, closed %t; want %d, %t\n%s", statuses, closed, test.want, test.closed, bodies)
			}
		})
	}
}

// Whatever is too large is told so, and the connection is closed; nothing of it is kept.
func TestOversized(t *testing.T) {
	_, url := hostileGateway(t, "--max-body", "64KiB", "--max-header", "16KiB")
	address := strings.TrimPrefix(url, "http://")
	const post = "POST /v1/topics/a/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + hostileKey + "\r\n"
	large := strings.Repeat("x", 65<<10)
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write(make([]byte, 10<<20)); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		sent   string
		want   int
		closed bool
	}{
		"a header":              {"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: " + large + "\r\n\r\n", 431, true},
		"headers":               {"GET /healthz HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X-A: a\r\n", 10<<10) + "\r\n", 431, true},
		"a target":              {"GET /" + large + " HTTP/1.1\r\nHost: x\r\n\r\n", 431, true},
		"a body":                {post + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(large)) + large, 413, true},
		"a body, not even sent": {post + "Content-Length: 9000000000\r\nExpect: 100-continue\r\n\r\n", 413, true},
		"a body in chunks":      {post + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("400\r\n"+large[:1<<10]+"\r\n", 65) + "0\r\n\r\n", 413, true},
		"a bomb":                {post + fmt.Sprintf("Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n", zipped.Len()) + zipped.String(), 415, false},
	} {
		t.Run(name, func(t *testing.T) {
			statuses, bodies, closed := rawExchange(t, address, test.sent)
			if fmt.Sprint(statuses) != fmt.Sprint([]int{test.want}) || closed != test.closed {
				t.Errorf("answered %d, closed %t; want %d, %t\n%s", statuses, closed, test.want, test.closed, bodies)
			}
		})
	}
	if statuses, bodies, _ := rawExchange(t, address, "GET /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+hostileKey+"\r\n\r\n"); len(statuses) != 1 || statuses[0] != 200 || !strings.Contains(bodies, `"data":[]`) {
		t.Errorf("%d: %s", statuses, bodies)
	}
}

// A client that closes its half of the connection as soon as it has sent its request may have left for good. It is told
// what became of the request all the same, and that is the truth.
func TestHalfClosed(t *testing.T) {
	_, url := hostileGateway(t)
	address := strings.TrimPrefix(url, "http://")
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST /v1/topics/a/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+hostileKey+"\r\nContent-Length: 3\r\n\r\nabc"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(conn.(*net.TCPConn).CloseWrite(), conn.SetReadDeadline(time.Now().Add(patience))); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := rawExchange(t, address, "GET /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+hostileKey+"\r\n\r\n")
	switch stored := strings.Contains(list, `"topic":"a"`); {
	case stored && strings.HasPrefix(string(answer), "HTTP/1.1 202 "):
	case !stored && strings.HasPrefix(string(answer), "HTTP/1.1 503 ") && strings.Contains(string(answer), ":not-stored"):
	default:
		t.Errorf("stored %t, and answered\n%s", stored, answer)
	}
}

// Each answer names its request, and only a trusted proxy may have named it before.
func TestRequestIDs(t *testing.T) {
	for _, trust := range []bool{false, true} {
		args := []string{"--log-level", "debug"}
		if trust {
			args = append(args, "--trusted-proxies", "127.0.0.1/32")
		}
		gateway, url := hostileGateway(t, args...)
		req, err := http.NewRequestWithContext(t.Context(), "GET", url+"/v1/events?limit=x", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header = http.Header{"X-Request-Id": {"from-the-proxy"}, "X-Forwarded-For": {"203.0.113.9"}, "Authorization": {"Bearer " + hostileKey}}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		id := resp.Header.Get("X-Request-Id")
		if (id == "from-the-proxy") != trust || id == "" || !strings.Contains(string(body), ":"+id+`"`) {
			t.Errorf("trusted %t: named %q\n%s", trust, id, body)
		}
		line, err := gateway.stderr.await(says("id=" + id))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(line, "remote=203.0.113.9") != trust {
			t.Errorf("trusted %t:\n%s", trust, line)
		}
	}
}
