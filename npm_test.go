package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// npmDirectory is where packages of npm are installed, and the scripts that use them.
var npmDirectory = filepath.Join("testdata", "npm")

// requireNPM skips a test for which node or a package is missing, unless CARILLON_REQUIRE_NPM is 1.
func requireNPM(t *testing.T, name string) {
	t.Helper()
	missing := ""
	if _, err := exec.LookPath("node"); err != nil {
		missing = "node is not in PATH"
	} else if _, err := os.Stat(filepath.Join(npmDirectory, "node_modules", name)); err != nil {
		missing = "the package is not installed (npm ci --prefix testdata/npm)"
	}
	if missing == "" {
		return
	}
	if os.Getenv("CARILLON_REQUIRE_NPM") == "1" {
		t.Fatalf("%s, and CARILLON_REQUIRE_NPM is 1", missing)
	}
	t.Skipf("%s; CARILLON_REQUIRE_NPM=1 makes this a failure", missing)
}

// TestSignaturesAreAcceptedByTheNPMPackage delivers events to a webhook and has the standardwebhooks package of npm verify
// what it got. It is skipped where node or the package is missing, unless CARILLON_REQUIRE_NPM is 1; npm ci in
// testdata/npm installs the package.
func TestSignaturesAreAcceptedByTheNPMPackage(t *testing.T) {
	requireNPM(t, "standardwebhooks")
	_, url := browse(t, nil, "--listen", "127.0.0.1:0", "--data", t.TempDir())
	hook := &receiver{answers: []string{"200"}, released: make(chan struct{})}
	hook.server = httptest.NewServer(hook)
	defer hook.close()
	secret := register(t, url, hook.server.URL)
	payloads := []string{`{"order": 4711, "customer": "Åse"}`, "", "plain text\nin two lines\n", " \r\n", strings.Repeat("é", 100_000)}
	for _, payload := range payloads {
		post(t, url, "signed", "text/plain; charset=utf-8", payload)
	}
	if _, err := hook.log.await(func(text string, _ bool) bool { return strings.Count(text, "\n") >= len(payloads) }); err != nil {
		t.Fatal(err)
	}

	type request struct {
		Secret  string            `json:"secret"`
		Headers map[string]string `json:"headers"`
		Body    string            `json:"body"`
	}
	var requests []request
	for _, got := range hook.requests() {
		headers := map[string]string{}
		for name := range got.header {
			headers[strings.ToLower(name)] = got.header.Get(name)
		}
		requests = append(requests, request{secret, headers, string(got.body)})
	}
	input, err := json.Marshal(requests)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "verify.mjs")
	cmd.Dir, cmd.Stdin = npmDirectory, bytes.NewReader(input)
	output, err := cmd.CombinedOutput()
	if want := fmt.Sprintf("%d accepted\n", len(payloads)); err != nil || string(output) != want {
		t.Errorf("%v: %s", err, output)
	}
}

// register registers a webhook for the topic signed, and returns its secret.
func register(t *testing.T, url, hook string) string {
	t.Helper()
	resp, err := http.Post(url+"/v1/webhooks", "application/json", strings.NewReader(`{"url": "`+hook+`", "topics": ["signed"]}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var created struct{ Secret string }
	if err := json.NewDecoder(resp.Body).Decode(&created); err != nil || created.Secret == "" {
		t.Fatalf("registering the webhook: %s, %v", resp.Status, err)
	}
	return created.Secret
}
