package main

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	neturl "net/url"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// statsPoint is what an hour's history has 720 of.
func statsPoint(at time.Time, i int) map[string]any {
	wave := 1 + math.Sin(float64(i)/40)
	p := map[string]any{
		"time": at.UTC().Format("2006-01-02T15:04:05.000Z"), "events": int(200*wave) + i%17,
		"deliveries": map[string]int{"delivered": int(380 * wave), "retrying": i % 23, "failed": max(0, i%90-85), "canceled": 0},
		"latency_ms": map[string]float64{"p50": 3 + wave, "p99": 20 + 10*wave}, "backlog": 40 + i%60, "streams": 4 + i/200,
	}
	if i%200 < 10 {
		p["latency_ms"] = nil // nothing was delivered
	}
	return p
}

// The overview draws the last hour and goes on from a stream, and lists what needs attention.
func TestConsoleOverview(t *testing.T) {
	b := openBrowser(t)
	_, url := browse(t, nil, "--listen", "127.0.0.1:0", "--data", t.TempDir())
	post(t, url, "orders.created", "application/json", `{}`)
	target, err := neturl.Parse(url)
	if err != nil {
		t.Fatal(err)
	}

	// A whole hour cannot be waited for: these two are played, and everything else is the gateway's.
	end := time.Now().Truncate(time.Second)
	more := make(chan int)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/stats", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"interval_ms":5000,"points":[],"attention":[{"webhook":"0197a2c4-0b52-7f04-8d1e-6a9b3c2d1e0f","problem":"down","since":%q,"detail":"it does not answer <b>(timeout)</b>"}]}`,
			end.Add(-10*time.Minute).UTC().Format(time.RFC3339))
	})
	mux.HandleFunc("GET /v1/stats/stream", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		tell := func(name string, v any) {
			data, err := json.Marshal(v)
			if err != nil {
				t.Error(err)
			}
			fmt.Fprintf(w, "event: %s\ndata: %s\n\n", name, data)
			w.(http.Flusher).Flush()
		}
		points := []any{}
		for i := range 719 {
			points = append(points, statsPoint(end.Add(time.Duration(i-719)*5*time.Second), i))
		}
		tell("history", map[string]any{"interval_ms": 5000, "points": points})
		for {
			select {
			case i := <-more:
				p := statsPoint(end.Add(time.Duration(i)*5*time.Second), i)
				p["events"] = 6000
				tell("point", p)
			case <-r.Context().Done():
				return
			}
		}
	})
	mux.Handle("/", &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Header.Del("Origin")
	}})
	front := httptest.NewServer(mux)
	defer front.Close()
	defer front.CloseClientConnections()

	b.run(
		chromedp.Navigate(front.URL),
		b.waitText("#view h1", "Overview"),
		b.waitText("#state", "live"),
		b.poll(`() => document.querySelector(".view").dataset.points === "719"`, "the history is drawn"),
		b.count(".chart path.line", 9),
		b.poll(`() => [...document.querySelectorAll(".chart")].map((c) => c.querySelector("path.line")).every((p) => p.getAttribute("d").length > 1000)`, "the lines are there"),
		b.waitText("#attention .pill", "down"),
		b.waitText("#attention .about", "it does not answer <b>(timeout)</b>"),
	)
	b.accessible()
	b.pictures("overview")
	for i := range 3 {
		more <- i
	}
	b.run(
		b.waitContains(".chart .legend", "1,200/s"),
		b.poll(`() => document.querySelector(".view").dataset.points === "720"`, "no more than an hour is kept"),
	)
	b.quiet()
}

// The overview against the gateway itself; where that keeps no figures it says so.
func TestConsoleOverviewOfTheGateway(t *testing.T) {
	b := openBrowser(t)
	_, url := browse(t, nil, "--listen", "127.0.0.1:0", "--data", t.TempDir())
	post(t, url, "orders.created", "application/json", `{}`)
	resp, err := http.Get(url + "/v1/stats")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	b.run(chromedp.Navigate(url), b.waitText("#view h1", "Overview"))
	if resp.StatusCode == http.StatusNotFound {
		b.run(b.waitContains("#no-stats:not([hidden])", "keeps no figures"))
	} else {
		b.run(b.waitText("#state", "live"), b.waitText("#fine:not([hidden])", "Nothing needs attention."), b.count(".chart", 5))
	}
	b.violations()
}
