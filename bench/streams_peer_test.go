package bench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/r3labs/sse/v2"
)

// newPeer starts a server built on r3labs/sse, as its documentation has it, that takes events and gives streams where the
// gateway does. It stores nothing but its log in memory.
func newPeer(b *testing.B) *source {
	b.Helper()
	a := newActor(b, "peer", false)
	transport := &http.Transport{MaxIdleConnsPerHost: 256}
	b.Cleanup(transport.CloseIdleConnections)
	return &source{b: b, addr: a.hear("listens", time.Minute), cpu: a.cpu, client: &http.Client{Transport: transport}}
}

// BenchmarkStreamsPeer measures the gateway beside a server built on another library, in turns: paced events, full speed,
// and a reader that stalls. The peer begins anew each time: it replays all that it ever had to whoever comes. It is not asked
// to have lost nothing in the end.
func BenchmarkStreamsPeer(b *testing.B) {
	n, events, rounds := sized(1000, 50), sized[int64](20_000, 400), sized(3, 1)
	settle, span := sized(time.Second, 100*time.Millisecond), sized(8*time.Second, 300*time.Millisecond)
	b.Run("paced", func(b *testing.B) {
		gateway, floor := newProcess(b).source(), newFloor(b)
		var ours, theirs, ratios, floors []float64
		for round := range rounds {
			g, p, f := gateway.paced(n, pacedRate, settle, span), newPeer(b).paced(n, pacedRate, settle, span), floor.paced(n, pacedRate, settle, span)
			b.Logf("round %d: gateway %.2f µs, peer %.2f µs, floor %.2f µs", round, g.perMessage, p.perMessage, f.perMessage)
			ours, theirs = append(ours, g.perMessage), append(theirs, p.perMessage)
			ratios, floors = append(ratios, g.perMessage/p.perMessage), append(floors, f.perMessage)
		}
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(median(ours), "gateway-cpu-µs/msg")
		b.ReportMetric(median(theirs), "peer-cpu-µs/msg")
		b.ReportMetric(median(floors), "floor-cpu-µs/msg")
		b.ReportMetric(median(ratios), "gateway/peer")
	})
	b.Run("full-speed", func(b *testing.B) {
		gateway := newProcess(b).source()
		var ours, theirs, ourRates, theirRates, ratios []float64
		for round := range rounds {
			g, p := gateway.fullSpeed(n, events), newPeer(b).fullSpeed(n, events)
			b.Logf("round %d: gateway %.3f µs at %.0f messages/s, peer %.3f µs at %.0f/s",
				round, g.perMessage, g.messages, p.perMessage, p.messages)
			ours, theirs = append(ours, g.perMessage), append(theirs, p.perMessage)
			ourRates, theirRates = append(ourRates, g.messages), append(theirRates, p.messages)
			ratios = append(ratios, g.perMessage/p.perMessage)
		}
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(median(ours), "gateway-cpu-µs/msg")
		b.ReportMetric(median(theirs), "peer-cpu-µs/msg")
		b.ReportMetric(median(ratios), "gateway/peer")
		b.ReportMetric(median(ourRates), "gateway-msg/s")
		b.ReportMetric(median(theirRates), "peer-msg/s")
	})
	b.Run("stalled", func(b *testing.B) {
		gateway, peer := newStallTrial(newProcess(b).source()), newStallTrial(newPeer(b))
		defer gateway.close()
		defer peer.close()
		var ours, theirs stallFigures
		for round := range rounds {
			ours.round("gateway", round, gateway)
			theirs.round("peer", round, peer)
		}
		gateway.verify()
		b.ReportMetric(0, "ns/op")
		ours.report(b, "gateway-")
		theirs.report(b, "peer-")
	})
}

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
