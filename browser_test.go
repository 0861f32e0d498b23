package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// screenshots is where the browser test leaves what it saw; git ignores it.
var screenshots = filepath.Join("build", "screenshots")

// TestPageInABrowser uses the page at / in headless Chromium, against the real binary. It is skipped where there is no
// Chromium, unless CARILLON_REQUIRE_CHROMIUM is 1.
func TestPageInABrowser(t *testing.T) {
	b := openBrowser(t)
	data := t.TempDir()
	address, err := freeAddress() // it is started on it twice
	if err != nil {
		t.Fatal(err)
	}
	gateway, url := browse(t, nil, "--listen", address, "--data", data)

	// The page opens its stream by itself.
	b.run(
		chromedp.Navigate(url),
		b.waitText("#state", "live"),
		chromedp.WaitVisible(chromedp.CSS("#empty")),
	)

	// What is published on the page shows up in its stream, and markup in it stays text.
	const markup = `<script>document.title = "taken over"</script><img src="x" onerror="document.title = 'taken over'"><b>bold</b>`
	b.publish("demo.markup", "text/plain", markup)
	b.run(
		b.waitText("#result-title", "Accepted"),
		b.waitText("#events li:first-child .topic", "demo.markup"),
		b.waitText("#events li:first-child pre", markup),
		b.none("#events script, #events img, #events b"),
		b.poll(`() => /^\d\d:\d\d:\d\d\.\d{3}$/.test(document.querySelector("#events time").textContent)`, "the time is shown"),
		b.waitText("#count", "1 event"),
	)
	if title, err := chromedp.Run(b.ctx, chromedp.Title()); err != nil || title != "Carillon" {
		t.Errorf("the payload ran: the title is %q, %v", title, err)
	}

	// So does what others publish, newest first; bytes that are not text are shown as such.
	post(t, url, "orders.created", "application/json", `{"order": 4711, "customer": {"name": "Ada"}, "total": 99.5}`)
	b.run(
		b.waitText("#events li:first-child .topic", "orders.created"),
		b.waitText("#events li:first-child pre", "{\n  \"order\": 4711,\n  \"customer\": {\n    \"name\": \"Ada\"\n  },\n  \"total\": 99.5\n}"),
		b.waitText("#events li:last-child .topic", "demo.markup"),
	)
	post(t, url, "images.uploaded", "image/png", "\x89PNG\r\n\x1a\n\xff")
	b.run(b.waitContains("#events li:first-child pre", "9 bytes that are not text"))

	// Pausing holds events back and loses none.
	b.run(chromedp.Click(chromedp.CSS("#pause")))
	post(t, url, "users.eu.created", "text/plain", "one\ntwo")
	b.run(
		b.waitText("#count", "4 events, 1 held back"),
		b.waitText("#events li:first-child .topic", "images.uploaded"),
		chromedp.Click(chromedp.CSS("#pause")),
		b.waitText("#events li:first-child pre", "one\ntwo"),
		b.waitText("#count", "4 events"),
	)

	// A poster who waits is shown the webhook's own answer.
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"price": 7}`) }))
	defer hook.Close()
	postJSON(t, url+"/v1/webhooks", `{"url": "`+hook.URL+`", "topics": ["quotes.*"]}`, http.StatusCreated)
	b.run(chromedp.Click(chromedp.CSS("#wait")))
	b.publish("quotes.asked", "application/json", `{"article": 3}`)
	b.run(
		b.waitContains("#result-title", "answered 200"),
		b.waitText("#result-body", "{\n  \"price\": 7\n}"),
		b.waitText("#events li:first-child .topic", "quotes.asked"),
		chromedp.Click(chromedp.CSS("#wait")),
	)

	b.picture("light.png", 1280, 900, "light")
	b.picture("dark.png", 1280, 900, "dark")
	b.picture("phone.png", 390, 844, "light")
	b.picture("phone-dark.png", 390, 844, "dark")
	b.quiet()

	// The list is bounded.
	for i := range 210 {
		post(t, url, "load.many", "text/plain", fmt.Sprint(i))
	}
	b.run(
		b.waitText("#events li:first-child pre", "209"),
		b.waitText("#count", "215 events"),
		b.count("#events li", 200),
	)
	b.quiet()

	// The stream resumes after a crash where it was. From here on the browser's console tells of connections that broke.
	gateway.kill()
	b.run(
		b.waitText("#state", "reconnecting"),
		chromedp.Click(chromedp.CSS("#clear")),
		b.waitText("#count", "no events yet"),
	)
	browse(t, nil, "--listen", address, "--data", data)
	post(t, url, "demo.after", "text/plain", "after the crash")
	b.run(
		b.waitText("#state", "live"),
		b.waitText("#events li:first-child pre", "after the crash"),
		b.waitText("#count", "1 event"),
	)

	// What is refused is told.
	b.publish("demo..oops", "text/plain", "x")
	b.run(b.waitContains("#result-title", "Refused"), b.waitContains("#result-body", "token 2 is empty"))
	b.run(
		chromedp.SetValue(chromedp.CSS("#pattern"), "a.**.b"),
		chromedp.Click(chromedp.CSS("#listen button")),
		b.waitText("#state", "stopped"),
		b.waitContains("#trouble", "** may only be the last token"),
		chromedp.SetValue(chromedp.CSS("#pattern"), "demo.*, orders.*"),
		chromedp.Click(chromedp.CSS("#listen button")),
		b.waitText("#state", "live"),
		b.waitText("#trouble", ""),
	)
	b.violations()
}

// TestPageWithAKey shows what the page says where it cannot work.
func TestPageWithAKey(t *testing.T) {
	b := openBrowser(t)
	_, url := browse(t, []string{"CARILLON_ADMIN_KEY=0123456789abcdef"}, "--listen", "127.0.0.1:0", "--data", t.TempDir())
	b.run(
		chromedp.Navigate(url),
		chromedp.WaitVisible(chromedp.CSS("#locked")),
		chromedp.WaitNotVisible(chromedp.CSS("#main")),
		b.waitText("#state", "stopped"),
		b.waitContains("#curl", url+"/v1/stream?topic=**"),
		b.waitContains("#curl", "Authorization: Bearer $CARILLON_KEY"),
	)
	b.picture("key.png", 1280, 900, "light")
	b.violations()
}

// browse starts a gateway for the browser.
func browse(t *testing.T, env []string, args ...string) (*process, string) {
	t.Helper()
	p, url, err := startGateway(t.TempDir(), append(env, "PATH="+os.Getenv("PATH")), args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	return p, url
}

func post(t *testing.T, url, topic, contentType, body string) {
	t.Helper()
	resp, err := http.Post(url+"/v1/topics/"+topic+"/events", contentType, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		t.Fatalf("posting to %s: %s", topic, resp.Status)
	}
}

func postJSON(t *testing.T, url, body string, status int) {
	t.Helper()
	resp, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != status {
		t.Fatalf("POST %s: %s", url, resp.Status)
	}
}

// browser is one tab.
type browser struct {
	t   *testing.T
	ctx context.Context

	mu         sync.Mutex
	complaints []string // what the console said in red or yellow
}

func openBrowser(t *testing.T) *browser {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		if os.Getenv("CARILLON_REQUIRE_CHROMIUM") == "1" {
			t.Fatal("there is no Chromium in PATH, and CARILLON_REQUIRE_CHROMIUM is 1")
		}
		t.Skip("there is no Chromium in PATH; CARILLON_REQUIRE_CHROMIUM=1 makes this a failure")
	}
	allocator, stop := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()),
		chromedp.ExecPath(path),
		chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.UserDataDir(t.TempDir()),
	)
	ctx, leave := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		// The browser must be gone before its directory is.
		if err := chromedp.Cancel(ctx); err != nil {
			t.Log("closing the browser:", err)
		}
		leave()
		stop()
	})
	b := &browser{t: t, ctx: ctx}
	if err := chromedp.Listen(ctx, b.listen); err != nil {
		t.Fatal("starting the browser: ", err)
	}
	return b
}

// listen hears what happens in the tab.
func (b *browser) listen(ev any) {
	switch ev := ev.(type) {
	case *runtime.EventExceptionThrown:
		b.complain("exception: %s %s", ev.ExceptionDetails.Text, ev.ExceptionDetails.Exception.Description)
	case *runtime.EventConsoleAPICalled:
		if ev.Type == runtime.ConsoleAPICalledTypeError || ev.Type == runtime.ConsoleAPICalledTypeWarning {
			b.complain("console: %s", ev.Args[0].Value)
		}
	case *log.EventEntryAdded:
		if ev.Entry.Level == log.EntryLevelError || ev.Entry.Level == log.EntryLevelWarning {
			b.complain("%s: %s (%s)", ev.Entry.Source, ev.Entry.Text, ev.Entry.URL)
		}
	}
}

func (b *browser) complain(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.complaints = append(b.complaints, fmt.Sprintf(format, args...))
}

// quiet fails the test if the console has complained.
func (b *browser) quiet() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.complaints {
		b.t.Error("the console says ", c)
	}
}

// violations fails the test if the console has complained of more than refused and broken requests.
func (b *browser) violations() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.complaints {
		if !strings.HasPrefix(c, "network: ") {
			b.t.Error("the console says ", c)
		}
	}
}

// run does what a user does, and fails the test if it cannot be done.
func (b *browser) run(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	for i, action := range actions {
		ctx, cancel := context.WithTimeout(b.ctx, patience)
		err := chromedp.Do(ctx, action)
		cancel()
		if err != nil {
			b.screenshot("failed.png")
			b.t.Fatalf("step %d: %v", i+1, err)
		}
	}
}

func (b *browser) publish(topic, contentType, body string) {
	b.t.Helper()
	b.run(
		chromedp.SetValue(chromedp.CSS("#topic"), topic),
		chromedp.SetValue(chromedp.CSS("#type"), contentType),
		chromedp.SetValue(chromedp.CSS("#body"), body),
		chromedp.Click(chromedp.CSS("#send")),
	)
}

// poll waits until a JavaScript function of the arguments is true. chromedp's own polls compile code in the page, which
// the page's policy does not allow.
func (b *browser) poll(function, what string, args ...any) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		literals, err := json.Marshal(append([]any{}, args...)) // [] where there are none
		if err != nil {
			return err
		}
		check := chromedp.Evaluate[bool](fmt.Sprintf("(%s)(...%s)", function, literals))
		again := time.NewTicker(20 * time.Millisecond)
		defer again.Stop()
		for {
			ok, err := check(ctx, t)
			if ok {
				return nil
			}
			if err == nil {
				select {
				case <-again.C:
					continue
				case <-ctx.Done():
					err = ctx.Err()
				}
			}
			return fmt.Errorf("waiting until %s: %w", what, err)
		}
	})
}

func (b *browser) waitText(selector, want string) chromedp.Action[chromedp.Void] {
	return b.poll(`(s, want) => document.querySelector(s)?.textContent === want`, fmt.Sprintf("%s is %q", selector, want), selector, want)
}

func (b *browser) waitContains(selector, want string) chromedp.Action[chromedp.Void] {
	return b.poll(`(s, want) => document.querySelector(s)?.textContent.includes(want) ?? false`, fmt.Sprintf("%s has %q", selector, want), selector, want)
}

func (b *browser) count(selector string, want int) chromedp.Action[chromedp.Void] {
	return b.poll(`(s, want) => document.querySelectorAll(s).length === want`, fmt.Sprintf("there are %d of %s", want, selector), selector, want)
}

func (b *browser) none(selector string) chromedp.Action[chromedp.Void] { return b.count(selector, 0) }

// picture keeps a screenshot of the whole page.
func (b *browser) picture(name string, width, height int64, scheme string) {
	b.t.Helper()
	b.run(
		chromedp.EmulateViewport(width, height, chromedp.EmulateScale(2)),
		chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
				{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
			}})
			return err
		}),
		b.poll(`(width) => innerWidth === width && document.documentElement.scrollWidth <= width`, "nothing sticks out at the side", width),
	)
	b.screenshot(name)
}

func (b *browser) screenshot(name string) {
	b.t.Helper()
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Error("taking a screenshot:", err)
		return
	}
	if err := os.MkdirAll(screenshots, 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(screenshots, name), png, 0o644); err != nil {
		b.t.Fatal(err)
	}
}
