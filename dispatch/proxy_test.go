package dispatch

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/carillon/carillon/event"
)

// proxyVariables are those by which net/http finds a proxy.
var proxyVariables = []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"}

// A proxy of the environment would be dialled in the webhook's place, and the guard judge the proxy. The variables are read once in
// a process, so this is shown in one of its own.
func TestNoRequestGoesByAProxyOfTheEnvironment(t *testing.T) {
	const inChild = "CARILLON_TEST_IN_PROXIED_CHILD"
	if os.Getenv(inChild) != "" {
		sendPastTheProxy(t)
		return
	}
	var atProxy atomic.Int64
	_, proxy := sink(t, func(w http.ResponseWriter, r *http.Request) {
		atProxy.Add(1)
		w.WriteHeader(http.StatusTeapot)
	})
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), executable, "-test.run=^"+t.Name()+"$", "-test.v")
	child.Env = append(os.Environ(), inChild+"=1", "NO_PROXY=", "no_proxy=", "REQUEST_METHOD=")
	for _, name := range proxyVariables {
		child.Env = append(child.Env, name+"=http://"+proxy.String())
	}
	out, err := child.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("%v\n%s", err, out)
	}
	// That the variables are heeded by others is what makes this a test: the child asks once by net/http's own client.
	if n := atProxy.Load(); n != 1 {
		t.Errorf("%d requests came to the proxy, want the one of net/http's own client", n)
	}
}

func sendPastTheProxy(t *testing.T) {
	answer := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"access_token":"t","token_type":"Bearer","expires_in":3600}`))
			return
		}
		w.Header().Set("WebHook-Allowed-Origin", "*")
	}
	_, plain := sink(t, answer)
	a := newAuthority(t)
	secure := httptest.NewUnstartedServer(http.HandlerFunc(answer))
	secure.TLS = &tls.Config{Certificates: []tls.Certificate{a.issue(t, nil)}}
	secure.StartTLS()
	t.Cleanup(secure.Close)

	// By names: net/http spares loopback addresses the proxy.
	z := &zone{records: map[string][]dnsRecord{"receiver.test": at(plain.Addr().String())}}
	g := NewGuard(GuardConfig{Allow: []netip.Prefix{netip.PrefixFrom(plain.Addr(), plain.Addr().BitLen())}})
	g.resolver = z.resolver()
	s := newSender(t, func(c *SenderConfig) { c.Guard, c.RootCAs = g, a.pool() })
	url := "http://" + net.JoinHostPort("receiver.test", portOf(plain))
	for name, change := range map[string]func(*event.Webhook){
		"plain": func(*event.Webhook) {},
		"with a token": func(w *event.Webhook) {
			w.Auth = event.Auth{Type: event.AuthOAuth2, TokenURL: url + "/token", ClientID: "c", ClientSecret: "s"}
		},
		"with a client certificate": func(w *event.Webhook) { w.Auth = clientAuth(t, a, "client") },
		"over TLS":                  func(w *event.Webhook) { w.URL = secure.URL },
	} {
		r := attemptOn(url)
		change(r.Webhook)
		if got := s.Send(t.Context(), r); got.Attempt.Outcome != event.Success {
			t.Errorf("%s: %+v", name, got)
		}
		if err := s.Handshake(t.Context(), r.Webhook); err != nil {
			t.Errorf("%s, asking for consent: %v", name, err)
		}
	}
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusTeapot {
		t.Errorf("net/http's own client got %s: there is no proxy to be passed by", resp.Status)
	}
}
