package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
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

// screenshots is where the browser tests leave what they saw: the directory that CARILLON_SCREENSHOTS names, or one that git ignores.
var screenshots = cmp.Or(os.Getenv("CARILLON_SCREENSHOTS"), filepath.Join("build", "screenshots"))

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

// fill sets a field as a user would, who is heard typing.
func (b *browser) fill(selector, value string) chromedp.Action[chromedp.Void] {
	return b.poll(`(s, value) => {
		const field = document.querySelector(s);
		if (!field) return false;
		field.value = value;
		field.dispatchEvent(new Event("input", { bubbles: true }));
		field.dispatchEvent(new Event("change", { bubbles: true }));
		return true;
	}`, selector+" is filled in", selector, value)
}

// press presses the first button or link within an element that says this.
func (b *browser) press(within, text string) chromedp.Action[chromedp.Void] {
	return b.poll(`(s, text) => {
		const found = [...document.querySelectorAll(s)].flatMap((el) => [...el.querySelectorAll("button, a")])
			.find((el) => el.textContent.trim() === text && !el.disabled && el.checkVisibility());
		found?.click();
		return Boolean(found);
	}`, fmt.Sprintf("%q can be pressed in %s", text, within), within, text)
}

// at goes to one of the console's addresses and waits until it is shown.
func (b *browser) at(hash string) chromedp.Action[chromedp.Void] {
	return b.poll(`(hash) => {
		if (location.hash !== hash) location.hash = hash;
		return location.hash === hash && document.querySelector(".view")?.dataset.ready === "true" && document.querySelector(".view").dataset.address === hash;
	}`, hash+" is shown", hash)
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

// emulate sets the window's size and the colours that its user prefers.
func (b *browser) emulate(width, height int64, scheme string) {
	b.t.Helper()
	b.run(
		chromedp.EmulateViewport(width, height, chromedp.EmulateScale(2)),
		chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
				{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
			}})
			return err
		}),
		b.poll(`(width) => innerWidth === width`, "the window has its size", width),
	)
}

// picture keeps a screenshot of the whole page.
func (b *browser) picture(name string, width, height int64, scheme string) {
	b.t.Helper()
	b.emulate(width, height, scheme)
	b.run(b.poll(`(width) => { scrollTo(0, 0); return document.documentElement.scrollWidth <= width; }`, "nothing sticks out at the side", width))
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
