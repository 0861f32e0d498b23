package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

const browserKey = "0123456789abcdef"

// asked posts JSON with the admin's key and returns the answer, which must be a 201 or 202.
func asked(t *testing.T, url, body string) map[string]any {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+browserKey)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusCreated && resp.StatusCode != http.StatusAccepted {
		t.Fatalf("POST %s: %s, %v: %s", url, resp.Status, err, text)
	}
	var answer map[string]any
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

// An EventSource of another origin opens a stream with a token in its URL, is told when the token expires, comes back with
// it once, is refused, and stays away.
func TestEventSourceWithAToken(t *testing.T) {
	b := openBrowser(t)
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!DOCTYPE html><title>somebody's page</title>")
	}))
	defer page.Close()
	gateway, url := browse(t, []string{"CARILLON_ADMIN_KEY=" + browserKey}, "--listen", "127.0.0.1:0", "--data", t.TempDir(),
		"--cors-origin", page.URL, "--log-level", "debug")
	token := asked(t, url+"/v1/stream-tokens", `{"topics":["orders.*"],"expires_in":"10s"}`)["token"].(string)
	b.visit(page.URL)
	b.subscribe("good", url+"/v1/stream?topic=orders.*&token="+token, "_stream")
	b.awaitHandler("good", "onopen", 1)
	b.subscribe("too much", url+"/v1/stream?topic=**&token="+token)
	b.subscribe("bad", url+"/v1/stream?topic=orders.*&token="+token+"x")
	b.subscribe("none", url+"/v1/stream?topic=orders.*")
	for _, name := range []string{"too much", "bad", "none"} {
		if got := b.awaitHandler(name, "onerror", 1); len(got) != 1 || got[0].State != closed {
			t.Errorf("%s: heard %v", name, got)
		}
	}
	asked(t, url+"/v1/topics/orders.created/events", `{"order":1}`)
	b.awaitData("good", `{"order":1}`)
	b.awaitData("good", `{"status":"expired"}`)
	b.run(b.poll(`() => streams.good.source.readyState === EventSource.CLOSED`, "the browser has given up"))
	got := b.dispatched("good")
	if len(got) != 5 {
		t.Fatalf("heard %v", got)
	}
	for i, want := range []dispatched{
		{Handler: "onopen", State: open}, {Handler: "onmessage", Data: `{"order":1}`, State: open},
		{Handler: "_stream", Data: `{"status":"expired"}`, State: open}, {Handler: "onerror", State: connecting}, {Handler: "onerror", State: closed},
	} {
		if got[i].Handler != want.Handler || got[i].Data != want.Data || got[i].State != want.State {
			t.Errorf("heard %v at %d, want %v", got[i], i, want)
		}
	}
	if log := gateway.stderr.String(); strings.Contains(log, token[:40]) || !strings.Contains(log, "status=401") {
		t.Error("the token is in the log, or no log is there")
	}
}

// A portal link leads to a page that shows its webhooks and nothing else, and keeps the token out of the address.
func TestPortalInABrowser(t *testing.T) {
	b := openBrowser(t)
	_, url := browse(t, []string{"CARILLON_ADMIN_KEY=" + browserKey}, "--listen", "127.0.0.1:0", "--data", t.TempDir(),
		"--webhook-allow", "127.0.0.0/8")
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	defer hook.Close()
	for _, customer := range []string{"4711", "4712"} {
		asked(t, url+"/v1/webhooks", `{"url":"`+hook.URL+`/`+customer+`","topics":["customers.`+customer+`.*"],"retry":{"schedule":[]}}`)
		asked(t, url+"/v1/topics/customers."+customer+".paid/events", `{}`)
	}
	link := asked(t, url+"/v1/portal-links", `{"topics":["customers.4711.**"],"label":"<b>Example</b> Ltd."}`)["url"].(string)
	if !strings.HasPrefix(link, url+"/#portal=crp_") {
		t.Fatalf("the link is %s", link)
	}
	b.run(
		chromedp.Navigate(link),
		b.waitText("#state", "signed in"),
		b.waitContains("#who", "<b>Example</b> Ltd., until "),
		b.count("#webhooks li", 1),
		b.waitText("#webhooks .url", hook.URL+"/4711"),
		chromedp.WaitNotVisible(chromedp.CSS("#publish-card")),
		chromedp.WaitNotVisible(chromedp.CSS("#stream-card")),
		chromedp.WaitNotVisible(chromedp.CSS("#locked")),
		b.poll(`() => location.hash === "" && history.length > 0 && !location.href.includes("crp_")`, "the token has left the address"),
		b.poll(`() => !document.documentElement.outerHTML.includes("crp_") && !document.documentElement.outerHTML.includes("whsec_")`, "neither token nor secret is on the page"),
		// The delivery may still be under way when the page asks first.
		b.poll(`() => { document.querySelector("#refresh").click(); return document.querySelector("#deliveries li .bad")?.textContent === "failed" }`, "the delivery is shown"),
		b.count("#deliveries li", 1),
		b.waitText("#deliveries .topic", "customers.4711.paid"),
	)

	// The user registers a webhook, is shown its secret once, and is refused one of somebody else's topics.
	register := func(topic string) {
		b.run(
			chromedp.SetValue(chromedp.CSS("#hook-url"), hook.URL+"/mine"),
			chromedp.SetValue(chromedp.CSS("#hook-topics"), topic),
			chromedp.Click(chromedp.CSS("#register button")),
		)
	}
	register("customers.4711.orders.*")
	b.run(b.waitContains("#managed-body", "whsec_"), b.count("#webhooks li", 2))
	b.picture("portal.png", 1280, 900, "light")
	b.picture("portal-phone.png", 390, 844, "dark")
	register("customers.4712.*")
	b.run(b.waitContains("#managed-title", "Refused: 403"), b.waitContains("#managed-body", "customers.4711.**"), b.count("#webhooks li", 2))

	// It stays so when the page is loaded again, and ends with signing out.
	b.run(
		chromedp.Navigate(url),
		b.waitText("#state", "signed in"),
		b.count("#webhooks li", 2),
		b.poll(`() => !document.documentElement.outerHTML.includes("whsec_")`, "the secret is not shown again"),
		chromedp.Click(chromedp.CSS("#sign-out")),
		chromedp.WaitVisible(chromedp.CSS("#locked")),
		b.poll(`() => sessionStorage.length === 0`, "nothing is kept"),
	)

	// A link that is no good says so; a key is taken by the form, and shows everything.
	b.run(
		chromedp.Navigate(link+"x"),
		b.waitContains("#locked-why", "not one of this gateway's"),
		b.poll(`() => location.hash === "" && sessionStorage.length === 0`, "the token is forgotten"),
		chromedp.SetValue(chromedp.CSS("#key"), browserKey),
		chromedp.Click(chromedp.CSS("#sign-in button")),
		b.waitText("#state", "live"),
		b.waitContains("#who", "with a key"),
		b.count("#webhooks li", 3),
		b.poll(`() => !document.documentElement.outerHTML.includes("crs_")`, "the stream's token is not on the page"),
	)
	b.publish("demo.signed", "text/plain", "by a key")
	b.run(
		b.waitText("#result-title", "Accepted"),
		b.waitText("#events li:first-child pre", "by a key"),
	)
	b.violations()
}
