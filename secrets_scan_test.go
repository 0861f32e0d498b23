package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"gopkg.in/yaml.v3"
)

// A secret scan: a gateway is used with one of everything that is secret, rightly and wrongly, and then all that it has said
// to anybody, printed and stored is searched for each of them.

// secretsOf are the secrets that were used, by what they are.
type secretsOf map[string]string

// forms are the ways in which a secret can stand in a text. Base64 of something longer has it at one of three offsets.
func forms(secret string) []string {
	quoted, _ := json.Marshal(secret)
	all := []string{
		secret, url.QueryEscape(secret), url.PathEscape(secret), strings.Trim(string(quoted), `"`),
		hex.EncodeToString([]byte(secret)), strings.ToUpper(hex.EncodeToString([]byte(secret))),
	}
	for offset := range 3 {
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			// What depends on its neighbours is left out at both ends.
			text := encoding.EncodeToString([]byte(strings.Repeat("x", offset) + secret))
			all = append(all, text[(offset*8+5)/6:len(text)-1])
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// scan returns where a secret is in what was collected, by the secret and the place.
func (s secretsOf) scan(collected map[string][]byte) (found []string) {
	for what, secret := range s {
		if len(secret) < 16 {
			found = append(found, what+" is too short to be looked for")
			continue
		}
		for _, form := range forms(secret) {
			for place, text := range collected {
				if at := bytes.Index(text, []byte(form)); at >= 0 {
					found = append(found, fmt.Sprintf("%s is in %s: …%s…", what, place, text[max(0, at-80):min(len(text), at+len(form)+20)]))
				}
			}
		}
	}
	slices.Sort(found)
	return found
}

// spy uses a gateway and keeps all that it answers.
type spy struct {
	t       *testing.T
	url     string
	secrets secretsOf

	mu        sync.Mutex
	collected map[string][]byte
	count     int
	sent      bytes.Buffer // the headers that receivers got
}

func (s *spy) keep(place string, text []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	s.collected[fmt.Sprintf("%s (%d)", place, s.count)] = bytes.Clone(text)
}

// secret makes a recognisable one.
func (s *spy) secret(what string) string {
	text := "s3cr-" + strings.ToLower(rand.Text())
	s.secrets[what] = text
	return text
}

// ask sends a request. shows says that its answer shows a secret by contract: it is not kept then.
func (s *spy) ask(method, path, key, body string, shows bool, more ...string) (int, []byte) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(more); i += 2 {
		r.Header.Set(more[i], more[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	var text []byte
	if strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") || strings.Contains(res.Header.Get("Content-Type"), "ndjson") {
		text = make([]byte, 512)
		n, _ := res.Body.Read(text) // its beginning; what streams carry is read by whoever asks for the events
		text = text[:n]
	} else if text, err = io.ReadAll(res.Body); err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	route, _, _ := strings.Cut(path, "?")
	if !shows {
		s.keep(fmt.Sprintf("the answer %d to %s %s", res.StatusCode, method, route), text)
	}
	var head bytes.Buffer
	_ = res.Header.Write(&head)
	s.keep(fmt.Sprintf("the head of the answer %d to %s %s", res.StatusCode, method, route), head.Bytes())
	return res.StatusCode, text
}

// refused sends a request that is to be refused with a problem.
func (s *spy) refused(status int, method, path, key, body string, more ...string) {
	s.t.Helper()
	if got, text := s.ask(method, path, key, body, false, more...); got != status {
		s.t.Errorf("%s %s: %d, want %d: %s", method, path, got, status, text)
	}
}

// done sends a request that is to succeed, and returns a member of the JSON answer.
func (s *spy) done(method, path, key, body, member string, shows bool) string {
	s.t.Helper()
	status, text := s.ask(method, path, key, body, shows)
	var answer map[string]any
	if err := json.Unmarshal(text, &answer); status >= 300 || err != nil && len(text) > 0 {
		s.t.Fatalf("%s %s: %d %s", method, path, status, text)
	}
	value, _ := answer[member].(string)
	return value
}

// echo is a receiver, and a token endpoint, that answers with the whole request. What it got is kept in s.sent.
func (s *spy) echo(status int, gate <-chan struct{}) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		_ = r.Header.Write(&s.sent)
		s.mu.Unlock()
		if gate != nil {
			select {
			case <-gate:
			case <-r.Context().Done():
				return
			}
		}
		w.Header().Set("X-Echo", r.Header.Get("Authorization"))
		w.WriteHeader(status)
		_ = r.Header.Write(w)
		_ = json.NewEncoder(w).Encode(map[string]any{"header": r.Header, "body": string(body), "url": r.URL.String()})
	}
}

// clientCertificate makes a certificate of nobody's, and its key, as PEM.
func clientCertificate(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a gateway"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}

func TestNoSecretIsFoundAnywhere(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) { scanGateway(t, format) })
	}
}

func scanGateway(t *testing.T, format string) {
	s := &spy{t: t, secrets: secretsOf{}, collected: map[string][]byte{}}
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	admin, jwtSecret := s.secret("the admin key"), s.secret("the JWT secret")+"-of-32-bytes-or-more"
	sealing := make([]byte, 32)
	_, _ = rand.Read(sealing)
	s.secrets["the secrets key"] = base64.StdEncoding.EncodeToString(sealing)
	args := []string{
		"--listen", "127.0.0.1:0", "--data", data, "--log-level", "debug", "--log-format", format, "--webhook-allow", "127.0.0.0/8",
		"--admin-key-file", write("admin", admin), "--jwt-secret-file", write("jwt", jwtSecret), "--jwt-issuer", "shop", "--jwt-audience", "carillon",
		"--secrets-key-file", write("seal", s.secrets["the secrets key"]),
	}
	gateway, address, err := startGateway(dir, []string{"PATH=" + os.Getenv("PATH")}, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(gateway.kill)
	s.url = address

	// Who comes in: keys of each scope, JWTs, tokens; good ones, and those that are not.
	keys := make(map[string]string)
	var ids []string
	for _, scope := range []string{"publish", "subscribe", "manage", "admin"} {
		status, text := s.ask("POST", "/v1/keys", admin, `{"name":"a key","scopes":["`+scope+`"]}`, true) // shown once
		var made struct{ ID, Key string }
		if err := json.Unmarshal(text, &made); err != nil || status != 201 {
			t.Fatalf("%d %s", status, text)
		}
		keys[scope], ids = made.Key, append(ids, made.ID)
		s.secrets["the key for "+scope] = made.Key
	}
	sign := func(what, secret string, claims jwt.MapClaims) string {
		claims["iat"], claims["sub"] = time.Now().Add(-time.Minute).Unix(), "somebody"
		token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(secret))
		if err != nil {
			t.Fatal(err)
		}
		s.secrets[what] = token
		s.secrets[what+", its signature"] = token[strings.LastIndex(token, ".")+1:]
		return token
	}
	hour := time.Now().Add(time.Hour).Unix()
	good := sign("a JWT", jwtSecret, jwt.MapClaims{"iss": "shop", "aud": "carillon", "exp": hour, "scope": "manage subscribe"})
	jwts := []string{
		sign("an expired JWT", jwtSecret, jwt.MapClaims{"iss": "shop", "aud": "carillon", "exp": time.Now().Add(-40 * time.Second).Unix(), "scope": "admin"}),
		sign("a JWT for others", jwtSecret, jwt.MapClaims{"iss": "shop", "aud": "others", "exp": hour, "scope": "admin"}),
		sign("a forged JWT", strings.Repeat("x", 40), jwt.MapClaims{"iss": "shop", "aud": "carillon", "exp": hour, "scope": "admin"}),
	}
	s.done("GET", "/v1/me", good, "", "", false)
	streamToken := s.done("POST", "/v1/stream-tokens", keys["subscribe"], `{"topics":["a.**"]}`, "token", true)
	_, portal, _ := strings.Cut(s.done("POST", "/v1/portal-links", good, `{"topics":["a.**"],"label":"Example Ltd."}`, "url", true), "#portal=")
	s.secrets["the stream token"], s.secrets["the portal token"] = streamToken, portal
	for _, token := range append(jwts, keys["admin"]+"x", "crn_"+s.secret("a made up key"), streamToken+"x", "crp_"+s.secret("a made up portal token"), "x"+admin, s.secret("an unknown key")) {
		s.refused(401, "GET", "/v1/webhooks", token, "")
		s.refused(401, "GET", "/v1/stream?topic=a", token, "")
		s.refused(401, "GET", "/v1/stream?topic=a&token="+url.QueryEscape(token), "", "")
		s.refused(401, "GET", "/v1/stream?topic=a", "", "", "Cookie", "__Host-carillon-stream="+token)
		s.refused(400, "GET", "/v1/events?token="+url.QueryEscape(token), "", "")
		s.refused(401, "GET", "/v1/webhooks", "", "", "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("x:"+token)))
	}
	all := []string{admin, keys["publish"], keys["subscribe"], keys["manage"], keys["admin"], good, streamToken, portal}
	for _, token := range all {
		escaped := url.QueryEscape(token)
		// In places where they do not belong.
		s.ask("GET", "/v1/events?nonsense=1", token, "", false)
		s.ask("GET", "/v1/topics/a/events?token="+escaped, "", "", false)
		s.ask("GET", "/v1/topics/a/events?token="+escaped+"&token="+escaped, "", "", false)
		s.ask("GET", "/?token="+escaped, "", "", false)
		s.ask("BREW", "/v1/events?token="+escaped, token, "", false)
		s.refused(400, "GET", "/v1/stream?topic=a&token="+escaped, token, "")
		s.ask("GET", "/v1/me", token, "", false, "Carillon-Tenant", "nobody")
		s.ask("POST", "/v1/webhooks/test", token, `{"webhook":{"url":"x`, false)
		s.ask("GET", "/v1/stream/doctor?ticks=1&interval=10ms", token, "", false)
		s.ask("GET", "/v1/stream/doctor?ticks=1&interval=10ms&token="+escaped, "", "", false, "Via", "1.1 proxy", "Cookie", "a="+token)
		s.ask("GET", "/v1/stream?topic=a", "", "", false, "Cookie", "__Host-carillon-stream="+token)
	}
	var streams sync.WaitGroup
	streamCtx, endStreams := context.WithCancel(t.Context())
	defer endStreams()
	follow := func(path, key string) {
		r, err := http.NewRequestWithContext(streamCtx, "GET", s.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if key != "" {
			r.Header.Set("Authorization", "Bearer "+key)
		}
		res, err := http.DefaultTransport.RoundTrip(r)
		if err != nil || res.StatusCode != 200 {
			t.Fatalf("a stream: %v %v", res, err)
		}
		streams.Go(func() {
			defer res.Body.Close()
			text, _ := io.ReadAll(res.Body) // until it is ended
			s.keep("a stream", text)
		})
	}
	follow("/v1/stream?topic=_carillon.**", admin)
	follow("/v1/stream?topic=a.**&token="+url.QueryEscape(streamToken), "")

	// Webhooks with secrets of each kind, of which each fails in its own way and says all that it knows.
	gate := make(chan struct{})
	receivers := make(map[string]string)
	for name, handler := range map[string]http.HandlerFunc{
		"ok": s.echo(200, nil), "fails": s.echo(500, nil), "refuses": s.echo(401, nil), "gone": s.echo(410, nil), "slow": s.echo(200, gate),
		"moved": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/?a="+r.Header.Get("Authorization"), http.StatusFound)
		},
		"breaks": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		server := httptest.NewServer(handler)
		t.Cleanup(server.Close)
		receivers[name] = server.URL
	}
	t.Cleanup(sync.OnceFunc(func() { close(gate) }))
	access := s.secret("the access token")
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":%q,"token_type":"bearer","expires_in":3600}`, access)
	}))
	t.Cleanup(tokens.Close)
	overTLS := httptest.NewTLSServer(s.echo(200, nil))
	t.Cleanup(overTLS.Close)
	certificate, private := clientCertificate(t)
	authority := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: overTLS.Certificate().Raw}))
	s.secrets["the private key"] = strings.Split(private, "\n")[1]
	quote := func(text string) string {
		quoted, _ := json.Marshal(text)
		return string(quoted)
	}
	auths := map[string]string{
		"none":   `null`,
		"basic":  `{"type":"basic","username":"somebody","password":` + quote(s.secret("the password")+` "&<> ü`) + `}`,
		"bearer": `{"type":"bearer","token":"` + s.secret("the bearer token") + `"}`,
		"oauth2": `{"type":"oauth2","token_url":"` + tokens.URL + `","client_id":"somebody","client_secret":"` + s.secret("the client secret") + `"}`,
		"oauth2 that fails": `{"type":"oauth2","token_url":"` + receivers["fails"] + `","client_id":"somebody","client_secret":"` +
			s.secret("another client secret") + `"}`,
		"oauth2 that refuses": `{"type":"oauth2","token_url":"` + receivers["refuses"] + `","client_id":"somebody","client_secret":"` +
			s.secret("a third client secret") + `"}`,
		"mtls": `{"type":"mtls","certificate":` + quote(certificate) + `,"private_key":` + quote(private) + `,"ca":` + quote(authority) + `}`,
	}
	var hooks []string
	register := func(to, auth, more string) string {
		key := keys["manage"]
		body := fmt.Sprintf(`{"url":%q,"topics":["a.**"],"auth":%s,"headers":{"X-Own":%q},"retry":{"schedule":[]},"timeout":"1s"%s}`,
			to, auths[auth], s.secret("the header for "+auth+" at "+to), more)
		status, text := s.ask("POST", "/v1/webhooks", key, body, true) // shown once
		var made struct{ ID, Secret string }
		if err := json.Unmarshal(text, &made); err != nil || status != 201 {
			t.Fatalf("%d %s", status, text)
		}
		if made.Secret != "" { // of a key pair nobody is shown the secret half
			s.secrets["the secret of the webhook for "+auth+" at "+to+more] = strings.TrimPrefix(made.Secret, "whsec_")
		}
		hooks = append(hooks, made.ID)
		return made.ID
	}
	for _, auth := range []string{"none", "basic", "bearer", "oauth2", "oauth2 that fails", "oauth2 that refuses"} {
		register(receivers["ok"], auth, "")
		register(receivers["refuses"], auth, "")
	}
	for _, name := range []string{"fails", "gone", "slow", "moved", "breaks"} {
		register(receivers[name], "bearer", "")
	}
	register(overTLS.URL, "mtls", "")
	register("http://127.0.0.1:1/", "bearer", "")
	own := base64.StdEncoding.EncodeToString([]byte(rand.Text()))
	mine := register(receivers["ok"], "none", `,"secret":"whsec_`+own+`"`)
	s.secrets["an own secret"] = own
	rotated := s.done("POST", "/v1/webhooks/"+mine+"/rotate-secret", keys["manage"], `{"overlap":"1h"}`, "secret", true)
	s.secrets["a rotated secret"] = strings.TrimPrefix(rotated, "whsec_")
	pair := register(receivers["ok"], "none", `,"signing":"ed25519"`)
	s.done("GET", "/v1/webhooks/"+pair, portal, "", "", false)

	// What is wrong with a webhook names no secret.
	for _, body := range []string{
		`{"url":"https://somebody:%s@example.com/","topics":["a"]}`,
		`{"url":"%s","topics":["a"]}`,
		`{"url":"https://example.com/","topics":["%s !"]}`,
		`{"url":"https://example.com/","topics":["a"],"secret":"whsec_%s"}`,
		`{"url":"https://example.com/","topics":["a"],"secret":"%s"}`,
		`{"url":"https://example.com/","topics":["a"],"headers":{"X-Own":"%s\n"}}`,
		`{"url":"https://example.com/","topics":["a"],"headers":{"Webhook-Id":"%s"}}`,
		`{"url":"https://example.com/","topics":["a"],"auth":{"type":"%s"}}`,
		`{"url":"https://example.com/","topics":["a"],"auth":"%s"}`,
		`{"url":"https://example.com/","topics":["a"],"auth":{"type":"bearer","token":"%s ü"}}`,
		`{"url":"https://example.com/","topics":["a"],"auth":{"type":"bearer","token":["%s"]}}`,
		`{"url":"https://example.com/","topics":["a"],"auth":{"type":"basic","username":"a:b","password":"%s"}}`,
		`{"url":"https://example.com/","topics":["a"],"auth":{"type":"mtls","certificate":"x","private_key":"%s"}}`,
		`{"url":"https://example.com/","topics":["a"],"auth":{"type":"oauth2","token_url":"https://x:%s@example.com/","client_id":"a","client_secret":"b"}}`,
		`{"url":"https://example.com/","topics":["a"],"enabled":"%s"}`,
		`{"url":"https://example.com/","topics":["a"],"format":"%s"}`,
		`{"url":"https://example.com/","topics":["a"],"timeout":"%s"}`,
		`{"url":"https://example.com/","topics":["a"],"secret":"%s"`,
		`"%s"`, `%s`,
	} {
		text := fmt.Sprintf(body, s.secret("the secret in "+body))
		for _, path := range []string{"/v1/webhooks", "/v1/stream-tokens", "/v1/portal-links", "/v1/keys", "/v1/tenants"} {
			if status, answer := s.ask("POST", path, admin, text, false); status < 400 {
				t.Errorf("POST %s %s: %d %s", path, text, status, answer)
			}
		}
		s.ask("POST", "/v1/webhooks/test", keys["manage"], fmt.Sprintf(`{"webhook":%s,"event":{"topic":"a"}}`, text), false)
		s.ask("PATCH", "/v1/webhooks/"+mine, portal, text, false)
		s.ask("POST", "/v1/webhooks/"+mine+"/rotate-secret", keys["manage"], text, false)
	}

	// Everything that sends requests to them.
	for range 2 {
		s.done("POST", "/v1/topics/a.b/events", keys["publish"], `{"order":4711}`, "", false)
	}
	for _, id := range hooks {
		path := "/v1/webhooks/" + id
		s.ask("POST", path+"/ping", portal, "", false)
		s.ask("POST", "/v1/webhooks/test", keys["manage"], `{"webhook":"`+id+`","event":{"topic":"a.b"}}`, false)
		s.ask("PATCH", path, keys["manage"], `{"handshake":true}`, false)
		s.ask("PATCH", path, portal, `{"url":"https://example.org/"}`, false)
		s.ask("PATCH", path, keys["manage"], `{"description":"changed"}`, false)
	}
	s.settle(admin)
	for _, id := range hooks {
		s.ask("POST", "/v1/webhooks/"+id+"/replay", keys["manage"], `{"states":["failed","delivered","canceled"]}`, false)
	}
	s.settle(admin)
	// Who waits for an answer gets it as it came, the echo too: that is by contract, and not kept.
	for _, query := range []string{"", "?respond=all"} {
		if status, text := s.ask("POST", "/v1/topics/a.c/events"+query, keys["publish"], "x", true, "Prefer", "wait=10"); status == 202 || status >= 500 {
			t.Errorf("the answer to who waits is %d %s", status, text)
		}
	}
	s.settle(admin)

	// A key that is revoked, and its token.
	s.ask("DELETE", "/v1/keys/"+ids[1], admin, "", false)
	s.refused(401, "GET", "/v1/events", keys["subscribe"], "")
	s.refused(401, "GET", "/v1/stream?topic=a.b&token="+url.QueryEscape(streamToken), "", "")

	// All that can be read, by each who may read.
	s.readEverything(admin, keys["admin"], keys["manage"], good, portal)
	s.clients(map[string]string{
		"CARILLON_KEY": admin,
	}, []string{"keys", "list"}, []string{"keys", "revoke", "nobody"}, []string{"tenants", "list"}, []string{"publish", "a.b", "x"}, []string{"publish", "a..b", "x"})
	s.clients(map[string]string{"CARILLON_KEY": keys["publish"] + "x"}, []string{"keys", "list"}, []string{"publish", "a.b", "x"}, []string{"tail", "a"})
	endStreams()
	streams.Wait()
	if err := gateway.signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.keep("the log", []byte(gateway.stderr.String()))
	s.keep("the standard output", []byte(gateway.stdout.String()))
	files, err := filepath.Glob(filepath.Join(data, "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		s.keep("the file "+filepath.Base(file), text)
	}
	// What is looked for was sent, and echoed, or nothing would have been hidden. Passwords are sent in base64.
	for what, secret := range s.secrets {
		hidden := strings.HasPrefix(what, "the header for") && !strings.Contains(what, "oauth2 that") && !strings.HasSuffix(what, ":1/") &&
			!strings.Contains(what, receivers["moved"]) && !strings.Contains(what, receivers["breaks"])
		if (hidden || what == "the bearer token" || what == "the access token") && !bytes.Contains(s.sent.Bytes(), []byte(secret)) {
			t.Errorf("%s was sent to nobody", what)
		}
	}
	redacted := 0
	for place, text := range s.collected {
		if strings.Contains(place, "GET /v1/deliveries/") && bytes.Contains(text, []byte(`"X-Own\":[\"***\"]`)) {
			redacted++
		}
	}
	if redacted == 0 {
		t.Error("no delivery's answer has an echo")
	}
	for _, found := range s.secrets.scan(s.collected) {
		t.Error(found)
	}
	t.Logf("%d secrets were looked for in %d texts", len(s.secrets), len(s.collected))
	if len(s.secrets) < 60 || len(s.collected) < 500 {
		t.Error("that is too few")
	}

	// Negative control: one that is planted is found, in each form and in each place.
	for place := range s.collected {
		for _, form := range forms(access) {
			planted := map[string][]byte{place: slices.Concat(s.collected[place], []byte(form))}
			if len(s.secrets.scan(planted)) == 0 {
				t.Fatalf("planted in %s, %q is not found", place, form)
			}
		}
		break
	}
}

// settle waits until no delivery is pending and no replay runs.
func (s *spy) settle(key string) {
	s.t.Helper()
	waitUntil(s.t, patience, "the end of all deliveries", func() bool {
		_, pending := s.ask("GET", "/v1/deliveries?state=pending", key, "", false)
		_, jobs := s.ask("GET", "/v1/jobs?limit=500", key, "", false)
		return bytes.Contains(pending, []byte(`"data":[]`)) && !bytes.Contains(jobs, []byte(`"running"`))
	})
}

var inText = regexp.MustCompile(`"id":"([^"]+)"`)

// readEverything asks each GET of openapi.yaml of each key, lists first, then what is in them.
func (s *spy) readEverything(keys ...string) {
	s.t.Helper()
	text, err := os.ReadFile("openapi.yaml")
	if err != nil {
		s.t.Fatal(err)
	}
	var spec struct{ Paths map[string]map[string]any }
	if err := yaml.Unmarshal(text, &spec); err != nil {
		s.t.Fatal(err)
	}
	read := 0
	for path, item := range spec.Paths {
		if item["get"] == nil {
			continue
		}
		read++
		for _, key := range keys {
			part, rest, byID := strings.Cut(path, "/{id}")
			if !byID {
				query := ""
				if strings.HasSuffix(path, "stream") {
					query = "?topic=a.b&since=earliest"
					if strings.Contains(path, "{") {
						query = "?since=earliest"
					}
				}
				s.ask("GET", strings.NewReplacer("{topic}", "**", "{pattern}", "_carillon.**", "{name}", "default", "{file}", "app.js").Replace(path)+query, key, "", false)
				continue
			}
			list := part + "?limit=500"
			_, found := s.ask("GET", list, key, "", false)
			for _, id := range inText.FindAllSubmatch(found, -1) {
				s.ask("GET", part+"/"+string(id[1])+rest, key, "", false)
			}
		}
	}
	for _, file := range []string{"app.css", "style.css", "index.html"} {
		s.ask("GET", "/assets/"+file, "", "", false)
	}
	if read < 20 {
		s.t.Errorf("only %d of openapi.yaml's paths were read", read)
	}
}

// clients runs client commands, and keeps what they print.
func (s *spy) clients(env map[string]string, commands ...[]string) {
	s.t.Helper()
	for _, args := range commands {
		ctx, cancel := context.WithTimeout(s.t.Context(), patience)
		cmd := exec.CommandContext(ctx, "carillon", append(args, "--url", s.url)...)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "GORACE=atexit_sleep_ms=0"}
		for name, value := range env {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
		text, _ := cmd.CombinedOutput() // that some fail is what is looked at
		cancel()
		s.keep("carillon "+strings.Join(args, " "), text)
	}
}
