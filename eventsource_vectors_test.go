package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
)

// vectors are streams, and what an EventSource makes of them: what the gateway relies on when it writes one.
var vectors = []struct {
	name, stream string
	want         []heard
}{
	// The stream that shows most faults of parsers at once.
	{"fields", "data:\x00\ndata:  2\rData:1\ndata\x00:2\ndata:1\r\x00data:4\nda-ta:3\rdata_5\ndata:3\rdata:\r\n data:32\ndata:4\n\n",
		[]heard{{"", "", "\x00\n 2\n1\n3\n\n4"}}},
	{"one space is stripped, and no tab", "data:x\n\ndata: x\n\ndata:  x\n\ndata:\tx\n\n",
		[]heard{{"", "", "x"}, {"", "", "x"}, {"", "", " x"}, {"", "", "\tx"}}},
	{"one byte order mark is stripped", "\ufeffdata: x\n\n\ufeffdata: y\n\ndata: \ufeffz\n\n",
		[]heard{{"", "", "x"}, {"", "", "\ufeffz"}}},
	{"two byte order marks are one too many", "\ufeff\ufeffdata: x\n\ndata: y\n\n",
		[]heard{{"", "", "y"}}},
	{"every line end ends a line", "data: a\rdata: b\ndata: c\r\ndata: d\r\r\ndata: e\r\n\rdata: f\n\r",
		[]heard{{"", "", "a\nb\nc\nd"}, {"", "", "e"}, {"", "", "f"}}},
	{"comments", ":\n\n: data: no\n:data: no\n\ndata: x\n:\ndata: y\n\n:\n\n",
		[]heard{{"", "", "x\ny"}}},
	{"empty data is an event, none is not", "data\n\ndata:\n\ndata: \n\nevent: other\nid: 1\n\ndata\ndata\n\n",
		[]heard{{"", "", ""}, {"", "", ""}, {"", "", ""}, {"1", "", "\n"}}},
	{"an id without data counts", "id: 1\n\nid: 2\n\ndata: x\n\n",
		[]heard{{"2", "", "x"}}},
	{"an id stays", "id: 1\ndata: x\n\ndata: y\n\nid: 2\ndata: z\n\n",
		[]heard{{"1", "", "x"}, {"1", "", "y"}, {"2", "", "z"}}},
	{"an empty id is one", "id: 1\ndata: x\n\nid\ndata: y\n\nid: 1\ndata: x\n\nid:\ndata: y\n\n",
		[]heard{{"1", "", "x"}, {"", "", "y"}, {"1", "", "x"}, {"", "", "y"}}},
	{"an id with a null character is none", "id: 1\ndata: x\n\nid: 2\x00\ndata: y\n\n",
		[]heard{{"1", "", "x"}, {"1", "", "y"}}},
	{"a name does not stay", "event: other\ndata: x\n\ndata: y\n\nevent: other\n\ndata: z\n\n",
		[]heard{{"", "other", "x"}, {"", "", "y"}, {"", "", "z"}}},
	{"the last name counts", "event: one\nevent: other\ndata: x\n\nevent: other\nevent:\ndata: y\n\n",
		[]heard{{"", "other", "x"}, {"", "", "y"}}},
	{"what no client knows", "other: 1\ndata : 2\nDATA: 3\n data: 4\nretry: x\ndata: x\n\n",
		[]heard{{"", "", "x"}}},
	{"what is no UTF-8", "data: caf\xe9\xff\n\ndata: \xed\xa0\x80\n\n",
		[]heard{{"", "", "caf\ufffd\ufffd"}, {"", "", "\ufffd\ufffd\ufffd"}}},
}

// unfinished is at the end of each vector: a client drops what no blank line ends.
const unfinished = "id: 9\nevent: other\ndata: dropped\n"

// eventSourceVectors shows that the browser reads streams as the gateway believes that they are read, from a server that
// writes what a gateway never would.
func eventSourceVectors(t *testing.T, b *browser) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i, err := strconv.Atoi(r.URL.Query().Get("vector"))
		if err != nil || i >= len(vectors) {
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, "<!DOCTYPE html><title>vectors</title>")
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		// An hour: the stream is read once.
		_, _ = io.WriteString(w, vectors[i].stream+"retry: 3600000\n\n"+unfinished)
	}))
	defer server.Close()
	b.visit(server.URL)
	for i, v := range vectors {
		b.subscribe(v.name, fmt.Sprintf("/?vector=%d", i), "other")
		got := b.awaitHandler(v.name, "onerror", 1)
		if d := difference(events(got), v.want); d != "" {
			t.Errorf("%s: %s", v.name, d)
		}
		if end := got[len(got)-1]; end.Handler != "onerror" || end.State != connecting {
			t.Errorf("%s: the end of a stream is %v", v.name, end)
		}
		evaluate[bool](b, fmt.Sprintf("streams[%q].source.close(), true", v.name))
	}
}
