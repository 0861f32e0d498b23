package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/chromedp"
)

// Searching for events; one event with its payload, each attempt made for it, and sending it again.
func TestConsoleEvents(t *testing.T) {
	b := openBrowser(t)
	_, url := browse(t, nil, "--listen", "127.0.0.1:0", "--data", t.TempDir())
	var broken atomic.Bool
	broken.Store(true)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if broken.Load() {
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprint(w, `<b>out of order</b>`)
			return
		}
		fmt.Fprint(w, `{"ok": true}`)
	}))
	defer hook.Close()
	postJSON(t, url+"/v1/webhooks", `{"url": "`+hook.URL+`", "topics": ["orders.*"], "retry": {"schedule": []}}`, http.StatusCreated)
	post(t, url, "users.created", "text/plain", "Ada")
	const payload = `{"order": 4711, "note": "</pre><script>document.title = 'taken over'</script>"}`
	resp, err := http.Post(url+"/v1/topics/orders.created/events", "application/json", strings.NewReader(payload))
	if err != nil {
		t.Fatal(err)
	}
	var receipt struct{ ID string }
	err = json.NewDecoder(resp.Body).Decode(&receipt)
	resp.Body.Close()
	if err != nil {
		t.Fatal(err)
	}

	b.run(
		chromedp.Navigate(url+"/#/events"),
		b.poll(`() => [...document.querySelectorAll(".rows .title")].some((t) => t.textContent === "orders.created")`, "the event is listed"),
		b.fill("#event-topic", "users.*"),
		b.press("#search", "Search"),
		b.count(".rows li", 1),
		b.waitText(".rows li:first-child .title", "users.created"),
		b.fill("#event-topic", "**"), // and nothing of the gateway's own
		b.fill("#event-since", "1h"),
		b.press("#search", "Search"),
		b.count(".rows li", 2),
	)
	b.accessible()
	b.pictures("events")
	b.run(
		b.fill("#event-id", receipt.ID),
		b.press("#find", "Open"),
		b.waitText("#view h1", "orders.created"),
		b.waitContains("#payload", `"note": "</pre><script>`),
		b.none("#view script, #view b[onclick], .attempts pre b"),
		b.poll(`() => { document.querySelector("#refresh").click(); return true; }`, "it is looked at again"),
		b.poll(`() => document.querySelector("#deliveries .pill")?.textContent === "failed" || (document.querySelector("#refresh").click(), false)`, "the delivery has failed"),
		b.poll(`() => {
			const more = document.querySelector("#deliveries [aria-expanded]");
			if (more.getAttribute("aria-expanded") === "false") more.click();
			return document.querySelector(".attempts pre")?.textContent === "<b>out of order</b>";
		}`, "the attempt's answer is shown"),
		b.waitContains(".attempts", "status-5xx"),
	)
	b.pictures("event-failed")
	broken.Store(false)
	b.run(
		b.press("#deliveries", "Retry"),
		b.waitText("#deliveries .pill", "delivered"),
		b.count(".attempts > div", 2),
		b.waitContains(".attempts > div:last-child", "answer 200"),
	)
	b.accessible()
	b.pictures("event")
	if title, err := chromedp.Run(b.ctx, chromedp.Title()); err != nil || title != "Events · Carillon" {
		t.Errorf("the payload ran: the title is %q, %v", title, err)
	}
	b.quiet()
	b.run(b.at("#/events"), b.fill("#event-id", "nonsense"), b.press("#find", "Open"), b.waitContains("#told", "id"))
	b.violations()
}

// A webhook's life: registered by a form that checks, pinged, changed, rotated, disabled, replayed, deleted.
func TestConsoleWebhooks(t *testing.T) {
	b := openBrowser(t)
	_, url := browse(t, nil, "--listen", "127.0.0.1:0", "--data", t.TempDir())
	var broken atomic.Bool
	bodies := make(chan string, 100)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if body, err := io.ReadAll(r.Body); err == nil && !broken.Load() && r.Header.Get("Carillon-Topic") != "_carillon.ping" {
			bodies <- string(body)
		}
		if broken.Load() {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		fmt.Fprint(w, `{"pong": true}`)
	}))
	defer hook.Close()
	post(t, url, "orders.created", "application/json", `{"order": 4711, "total": 99.5}`)

	b.run(
		chromedp.Navigate(url+"/#/webhooks"),
		b.waitText("#webhooks .empty", "No webhooks yet."),
		b.press("#view", "New webhook"),
		b.waitText("#view h1", "New webhook"),
		// It checks while one types.
		b.fill("#url", "ftp://example.com"), b.waitContains("#url-wrong", "http"),
		b.fill("#url", hook.URL), b.waitText("#url-wrong", ""),
		b.fill("#topics", "orders..x"), b.waitContains("#topics-wrong", "token 2 is empty"),
		b.fill("#topics", "orders.*"), b.waitText("#topics-wrong", ""),
		b.waitContains("#verdict", "would be sent"), b.waitContains("#would", `"total": 99.5`),
		b.fill("#filter", "data.total >"), b.waitContains("#filter-wrong", ":"),
		b.fill("#filter", "data.total > 100.0"), b.waitContains("#verdict", "would not be sent"),
		b.fill("#filter", "data.total > 50.0"), b.waitText("#filter-wrong", ""),
		b.fill("#transform", "{number: .order"), b.waitContains("#transform-wrong", ":"),
		b.fill("#transform", "{number: .order}"), b.waitText("#would", "{\n  \"number\": 4711\n}"),
	)
	b.accessible()
	b.pictures("webhook-form")
	b.run(
		b.press("#webhook-form", "Register"),
		b.waitContains("#secret", "whsec_"),
	)
	b.pictures("webhook-secret")
	b.run(
		b.press("#view", "To the webhook"),
		b.waitText("#view h1", hook.URL),
		b.poll(`() => !document.documentElement.textContent.includes("whsec_")`, "the secret is not shown again"),
		b.press("#view", "Ping"),
		b.waitContains("#ping-title", "It answered 200"),
		b.waitText("#ping pre", "{\n  \"pong\": true\n}"),
		b.press("#view", "Rotate secret"),
		b.press("dialog", "Rotate"),
		b.waitContains("#secret", "whsec_"),
		b.waitContains("#view", "Old secrets sign until"),
		b.press("#notes", "Done"),
		b.press("#view", "Edit"),
		b.waitText("#view h1", "Change the webhook"),
		b.fill("#description", "Orders of the shop"),
		b.press("#webhook-form", "Save"),
		b.waitText("#view .lead", "Orders of the shop"),
	)
	post(t, url, "orders.created", "application/json", `{"order": 1, "total": 51}`)
	if got := <-bodies; got != `{"number":1}` {
		t.Errorf("the webhook got %s", got)
	}
	broken.Store(true)
	for i := range 3 {
		post(t, url, "orders.paid", "application/json", fmt.Sprintf(`{"order": %d, "total": 100}`, 10+i))
	}
	// Three canceled by disabling, to be replayed.
	b.run(
		b.press("#view", "Disable"),
		b.press("dialog", "Disable"),
		b.waitContains("#view .top", "disabled"),
	)
	broken.Store(false)
	b.run(
		b.press("#view", "Enable"),
		b.waitContains("#view .top", "active"),
		b.poll(`() => { document.querySelector("#replay-title").parentElement.querySelector("details").open = true; return true; }`, "the form is open"),
		b.waitContains("#replay-total", "3 deliveries would be sent again."),
	)
	b.accessible()
	b.pictures("webhook")
	b.run(
		b.press("#replay", "Replay 3"),
		b.waitContains("#replay-progress", "done"),
		b.waitContains("#replay-progress", "3 of 3"),
		b.poll(`() => document.querySelector("#job progress").value === document.querySelector("#job progress").max`, "the bar is full"),
	)
	for range 3 {
		<-bodies
	}
	b.run(b.press("#deliveries", "Refresh"), b.count("#deliveries .rows li", 4), b.waitContains("#deliveries", "replay"))
	b.pictures("webhook-replayed")

	// Dead letters are sent again in bulk.
	broken.Store(true)
	for i := range 2 {
		postWaiting(t, url, "orders.paid", fmt.Sprintf(`{"order": %d, "total": 100}`, 20+i))
	}
	broken.Store(false)
	b.run(
		b.at("#/deliveries"),
		b.fill("#delivery-state", "failed"),
		b.count("#deliveries .rows li", 2),
		b.press("#deliveries", "Choose all"),
	)
	b.accessible()
	b.pictures("deliveries")
	b.run(
		b.press("#deliveries", "Retry 2 chosen"),
		b.waitContains("#told", "2 deliveries sent again."),
		b.poll(`() => document.querySelectorAll("#deliveries .rows li").length === 0 || (document.querySelector("#refresh").click(), false)`, "no dead letters are left"),
		b.at("#/webhooks"),
		b.waitText("#webhooks .title", hook.URL),
		b.waitContains("#webhooks .pill", "active"),
	)
	b.accessible()
	b.pictures("webhooks")
	b.run(
		b.press("#webhooks", hook.URL),
		b.press("#view", "Delete"),
		b.press("dialog", "Delete"),
		b.waitText("#webhooks .empty", "No webhooks yet."),
	)
	b.violations()
}

// postWaiting publishes as a poster who waits: the answer settles the delivery, also a refusal.
func postWaiting(t *testing.T, url, topic, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", url+"/v1/topics/"+topic+"/events", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Prefer", "wait=30")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.Header.Get("Carillon-Webhook-Id") == "" {
		t.Fatalf("posting to %s: %s", topic, resp.Status)
	}
}
