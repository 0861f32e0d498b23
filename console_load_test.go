package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// A thousand events a second do not make the tail slow, and none is lost count of.
func TestConsoleUnderLoad(t *testing.T) {
	b := openBrowser(t)
	_, url := browse(t, nil, "--listen", "127.0.0.1:0", "--data", t.TempDir())
	b.run(
		chromedp.Navigate(url+"/#/topics/load.**"),
		b.waitText("#state", "live"),
		b.poll(`() => {
			window.gaps = [];
			let last = performance.now();
			const frame = (now) => { gaps.push(now - last); last = now; requestAnimationFrame(frame); };
			requestAnimationFrame(frame);
			return true;
		}`, "frames are timed"),
	)
	const seconds, batches, size = 4, 20, 50
	tick := time.NewTicker(time.Second / batches)
	defer tick.Stop()
	began := time.Now()
	for i := range seconds * batches {
		<-tick.C
		var batch strings.Builder
		for j := range size {
			fmt.Fprintf(&batch, `,{"specversion":"1.0","source":"/load","id":"%d-%d","type":"load.many","data":{"number":%d,"text":"some words about what happened"}}`, i, j, i*size+j)
		}
		resp, err := http.Post(url+"/v1/events", "application/cloudevents-batch+json", strings.NewReader("["+batch.String()[1:]+"]"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusAccepted {
			t.Fatal(resp.Status)
		}
	}
	posted := time.Since(began)
	// It does at once what it is told to.
	clicked := time.Now()
	b.run(chromedp.Click(chromedp.CSS("#pause")), b.waitText("#pause", "Resume"))
	answered := time.Since(clicked)
	b.run(
		chromedp.Click(chromedp.CSS("#pause")),
		b.waitContains("#count", "4,000 events"),
		b.count("#events li", 300),
		b.waitContains("#events li:first-child .preview", `"number":3999`),
		b.waitContains("#events li:last-child .preview", `"number":3700`),
	)
	gaps, err := chromedp.Run(b.ctx, chromedp.Evaluate[[]float64](`gaps.sort((a, b) => a - b), [0.5, 0.99, 1].map((q) => gaps[Math.ceil(q * gaps.length) - 1])`))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d events in %.1f s: a frame every %.0f ms, 99 %% within %.0f ms, the longest %.0f ms; a click was answered in %d ms",
		seconds*batches*size, posted.Seconds(), gaps[0], gaps[1], gaps[2], answered.Milliseconds())
	b.quiet()
}
