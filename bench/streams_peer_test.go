package bench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/r3labs/sse/v2"
)

func playPeer(_ []string, lines *bufio.Scanner, answer io.Writer) error {
	const name = "bench"
	streams := sse.New()
	streams.CreateStream(name)
	routes := http.NewServeMux()
	routes.HandleFunc("GET /v1/stream", func(w http.ResponseWriter, r *http.Request) {
		r.URL.RawQuery = "stream=" + name
		streams.ServeHTTP(w, r)
	})
	routes.HandleFunc("POST "+topicPath, func(w http.ResponseWriter, r *http.Request) {
		payload, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		streams.Publish(name, &sse.Event{Data: payload})
		w.WriteHeader(http.StatusAccepted)
	})
	routes.HandleFunc("POST "+batchPath, func(w http.ResponseWriter, r *http.Request) {
		var batch []struct{ Data string }
		if err := json.NewDecoder(r.Body).Decode(&batch); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		for _, e := range batch {
			streams.Publish(name, &sse.Event{Data: []byte(e.Data)})
		}
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, "[]")
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: routes}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	fmt.Fprintln(answer, "listens", l.Addr())
	for lines.Scan() { // nobody asks for anything
	}
	server.Close()
	<-ended
	return lines.Err()
}

func playReaders(args []string, lines *bufio.Scanner, answer io.Writer) error { return nil }
