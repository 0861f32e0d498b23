package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
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
