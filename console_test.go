package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// accessible fails the test if axe-core finds fault with the page as it is, in light or in dark, or if it shows what is no
// text of anybody's. axe-core is left out where the package is missing, unless CARILLON_REQUIRE_NPM is 1.
func (b *browser) accessible() {
	b.t.Helper()
	b.run(b.poll(`() => {
		const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
		while (texts.nextNode()) if (/^(null|undefined|false|NaN|\[object .*)$/.test(texts.currentNode.data.trim())) return false;
		return true;
	}`, "no null is shown"))
	script, err := os.ReadFile(filepath.Join(npmDirectory, "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		if os.Getenv("CARILLON_REQUIRE_NPM") == "1" {
			b.t.Fatal("axe-core is not installed (npm ci --prefix testdata/npm), and CARILLON_REQUIRE_NPM is 1")
		}
		b.t.Log("not looked at by axe-core, which is not installed")
		return
	}
	if _, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](string(script)+";true")); err != nil {
		b.t.Fatal(err)
	}
	for _, scheme := range []string{"dark", "light"} {
		b.emulate(1280, 900, scheme)
		b.run(
			b.poll(`() => { window.axed = null; axe.run(document).then((r) => { window.axed = r.violations; }); return true; }`, "axe runs"),
			b.poll(`() => window.axed !== null`, "axe has run"),
		)
		found, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](
			`axed.map((v) => v.id + ": " + v.nodes.map((n) => n.html.slice(0, 200) + " " + n.any.map((a) => a.message)).join("\n  ")).join("\n")`))
		if err != nil {
			b.t.Fatal(err)
		}
		if found != "" {
			b.t.Errorf("in %s, axe finds\n%s", scheme, found)
		}
	}
}

// pictures keeps a view as it looks in light, in dark and on a phone.
func (b *browser) pictures(name string) {
	b.t.Helper()
	b.picture(name+"-dark.png", 1280, 900, "dark")
	b.picture(name+"-phone.png", 390, 844, "light")
	b.picture(name+".png", 1280, 900, "light")
}

// A newcomer opens the page of an empty gateway, and has an event delivered a few clicks later; the commands that the page
// offers work as they are.
func TestConsoleFirstSteps(t *testing.T) {
	b := openBrowser(t)
	_, url := browse(t, nil, "--listen", "127.0.0.1:0", "--data", t.TempDir())
	b.run(
		chromedp.Navigate(url),
		b.waitText("#view h1", "One event, from here to there"),
		b.waitText("#state", "live"),
		b.poll(`() => document.querySelector("#step-listen").dataset.done === "true"`, "the first step is done"),
		b.poll(`() => document.querySelector("#step-publish").dataset.done === "false"`, "the second is not"),
	)
	ready, err := chromedp.Run(b.ctx, chromedp.Evaluate[float64](`performance.getEntriesByName("ready")[0].startTime`))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the page was usable %.0f ms after the navigation", ready)
	b.pictures("start-empty")

	command, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`document.querySelector("#step-publish pre").textContent`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath("curl"); err == nil {
		if out, err := exec.CommandContext(t.Context(), "sh", "-c", command).CombinedOutput(); err != nil || !strings.Contains(string(out), `"topic":"demo.hello"`) {
			t.Errorf("%s\nprints %s, %v", command, out, err)
		}
	} else {
		b.run(chromedp.Click(chromedp.CSS("#publish-it")))
	}
	b.run(
		b.waitText("#events .topic", "demo.hello"),
		b.waitText("#events pre", "{\n  \"hello\": \"world\"\n}"),
		b.poll(`() => document.querySelector("#step-publish").dataset.done === "true"`, "the second step is done"),
		b.press("#step-publish", "Publish it from here"),
		b.count("#events li", 2),
		chromedp.Click(chromedp.CSS("#register")),
		b.poll(`() => document.querySelector("#step-deliver").dataset.done === "true"`, "the third step is done"),
		b.waitContains("#outcome", "The webhook answered 202."),
		b.waitContains("#secret", "whsec_"),
		b.poll(`() => [...document.querySelectorAll("#events .topic")].some((t) => t.textContent === "demo.echo")`, "the gateway called itself"),
		b.press("#step-publish .command", "Copy"),
		b.press("#step-publish .command", "Copied"),
	)
	b.accessible()
	b.pictures("start")
	b.quiet()
}

// The playground: what is published shows up beside the form, as text whatever it is, and a poster who waits is answered.
func TestConsolePlayground(t *testing.T) {
	b := openBrowser(t)
	_, url := browse(t, nil, "--listen", "127.0.0.1:0", "--data", t.TempDir())
	b.run(chromedp.Navigate(url+"/#/play"), b.waitText("#state", "live"), b.waitText("#listening", "demo.hello"))

	const markup = `<script>document.title = "taken over"</script><img src="x" onerror="document.title = 'taken over'"><b>bold</b>`
	b.publish("demo.markup", "text/plain", markup)
	b.run(
		b.waitContains("#result-title", "Accepted"),
		b.waitText("#listening", "demo.markup"),
	)
	// The stream follows the topic a moment later: what was published before is not on it.
	b.publish("demo.markup", "text/plain", markup)
	b.run(
		b.waitText("#events li:first-child .topic", "demo.markup"),
		b.waitText("#events li:first-child pre", markup),
		b.waitText("#events li:first-child .preview", markup),
		b.none("#events script, #events img, #events b"),
		b.poll(`() => /^\d\d:\d\d:\d\d\.\d{3}$/.test(document.querySelector("#events time").textContent)`, "the time is shown"),
	)
	if title, err := chromedp.Run(b.ctx, chromedp.Title()); err != nil || title != "Playground · Carillon" {
		t.Errorf("the payload ran: the title is %q, %v", title, err)
	}

	// Published once more under the same idempotency key, it is published once.
	b.run(b.poll(`() => { document.querySelector("#publish details").open = true; return true; }`, "more is shown"), b.fill("#idempotency-key", "once"))
	b.publish("demo.markup", "text/plain", "keyed")
	b.run(b.waitContains("#result-title", "Accepted"), b.waitText("#events li:first-child pre", "keyed"))
	b.publish("demo.markup", "text/plain", "keyed")
	b.run(b.waitContains("#result-title", "Published before"), b.fill("#idempotency-key", ""))

	// A poster who waits is shown the webhook's own answer, or all of them.
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"price": 7}`) }))
	defer hook.Close()
	postJSON(t, url+"/v1/webhooks", `{"url": "`+hook.URL+`", "topics": ["quotes.*"]}`, http.StatusCreated)
	b.run(b.fill("#topic", "quotes.asked"), b.waitText("#listening", "quotes.asked"), b.waitText("#state", "live"), chromedp.Click(chromedp.CSS("#wait")))
	b.publish("quotes.asked", "application/json", `{"article": 3}`)
	b.run(
		b.waitContains("#result-title", "Webhook answered 200"),
		b.waitText("#result-body", "{\n  \"price\": 7\n}"),
		b.waitText("#events li:first-child .topic", "quotes.asked"),
		b.fill("#respond", "all"),
	)
	b.publish("quotes.asked", "application/json", `{"article": 4}`)
	b.run(b.waitContains("#result-title", "Answered in"), b.waitContains("#result-body", `"status": 200`))
	b.accessible()
	b.pictures("play")
	b.quiet()

	// What is refused is told, and what is wrong is told before.
	b.run(b.fill("#topic", "demo..oops"), b.waitText(".field .wrong:not([hidden])", "token 2 is empty"))
	b.publish("demo..oops", "text/plain", "x")
	b.run(b.waitContains("#result-title", "Refused"), b.waitContains("#result-body", "token 2 is empty"))
	b.violations()
}

// publish publishes by the playground's form.
func (b *browser) publish(topic, contentType, body string) {
	b.t.Helper()
	b.run(
		b.fill("#topic", topic),
		b.fill("#type", contentType),
		b.fill("#body", body),
		b.press("#publish", "Publish"), // once the last one is done
	)
}

// Topics, and the live tail of a pattern: pausing, filtering, and going on after a crash.
func TestConsoleTopicsAndTail(t *testing.T) {
	b := openBrowser(t)
	data := t.TempDir()
	address, err := freeAddress() // it is started on it twice
	if err != nil {
		t.Fatal(err)
	}
	gateway, url := browse(t, nil, "--listen", address, "--data", data)
	post(t, url, "orders.created", "application/json", `{"order": 1, "total": 10}`)
	post(t, url, "orders.created", "application/json", `{"order": 2, "total": 200}`)
	post(t, url, "users.eu.created", "text/plain", "Ada")
	b.run(
		chromedp.Navigate(url+"/#/topics"),
		b.count(".rows li", 2),
		b.waitText(".rows li:first-child .title", "orders.created"),
		b.waitText(".rows li:first-child .figure", "2 events"),
	)
	b.accessible()
	b.pictures("topics")
	b.run(
		b.fill("#pattern", "a.**.b"),
		b.press("#listen", "Listen"),
		b.waitText("#listen .wrong", "a.**.b: ** may only be the last token"),
		b.fill("#pattern", "orders.*, images.**"),
		b.press("#listen", "Listen"),
		b.waitText("#view h1", "orders.*, images.**"),
		b.waitText("#state", "live"),
		b.waitText("#count", "no events yet"),
	)

	// Events show up newest first, pretty when they are opened; bytes that are not text are shown as such.
	post(t, url, "orders.paid", "application/json", `{"order": 4711, "customer": {"name": "Ada"}, "total": 99.5}`)
	b.run(
		b.waitText("#events li:first-child .topic", "orders.paid"),
		chromedp.Click(chromedp.CSS("#events li:first-child summary")),
		b.waitText("#events li:first-child pre", "{\n  \"order\": 4711,\n  \"customer\": {\n    \"name\": \"Ada\"\n  },\n  \"total\": 99.5\n}"),
	)
	post(t, url, "images.uploaded", "image/png", "\x89PNG\r\n\x1a\n\xff")
	b.run(b.waitContains("#events li:first-child .preview", "9 bytes that are not text"))
	// Copied as curl, an event is published again.
	b.run(
		b.poll(`() => { navigator.clipboard.writeText = async (text) => { window.copied = text; }; return true; }`, "what is copied is seen"),
		b.press("#events li:last-child", "Copy as curl"),
	)
	command, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`window.copied`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath("curl"); err == nil {
		if out, err := exec.CommandContext(t.Context(), "sh", "-c", command).CombinedOutput(); err != nil || !strings.Contains(string(out), `"topic":"orders.paid"`) {
			t.Errorf("%s\nprints %s, %v", command, out, err)
		}
	} else {
		post(t, url, "orders.paid", "application/json", `{}`)
	}
	b.run(b.waitText("#events li:first-child .topic", "orders.paid"), b.count("#events li", 3))

	// Pausing holds events back and loses none.
	b.run(chromedp.Click(chromedp.CSS("#pause")))
	post(t, url, "orders.created", "text/plain", "one\ntwo")
	b.run(
		b.waitContains("#count", "4 events, 1 held back"),
		b.waitText("#events li:first-child .topic", "orders.paid"),
		chromedp.Click(chromedp.CSS("#pause")),
		b.waitText("#events li:first-child .preview", "one\ntwo"),
		b.count("#events li", 4),
	)
	b.accessible()
	b.pictures("tail")
	b.quiet()

	// A filter narrows what is there; a wrong one is told.
	b.run(
		b.fill("#filter", "data.total >"),
		b.press("#narrow", "Apply"),
		b.waitContains("#trouble", "filter"),
		b.waitText("#state", "stopped"),
		b.fill("#filter", "data.total > 100.0"),
		b.fill("#since", "earliest"),
		chromedp.Click(chromedp.CSS("#clear")),
		b.press("#narrow", "Apply"),
		b.waitText("#state", "live"),
		b.count("#events li", 1),
		b.waitContains("#events li:first-child .preview", `"total":200`),
		b.poll(`() => location.hash.includes("filter=data.total")`, "the filter is in the address"),
	)

	// The stream resumes after a crash where it was. From here on the browser's console tells of connections that broke.
	b.run(b.at("#/topics/demo.*"), b.waitText("#state", "live"))
	gateway.kill()
	b.run(b.waitText("#state", "reconnecting"))
	browse(t, nil, "--listen", address, "--data", data)
	post(t, url, "demo.after", "text/plain", "after the crash")
	b.run(
		b.waitText("#state", "live"),
		b.waitText("#events li:first-child .preview", "after the crash"),
		b.waitText("#count", "1 event"),
	)
	b.violations()
}

// The parser of streams agrees with the standard, however its input is cut.
func TestConsoleStreamParser(t *testing.T) {
	b := openBrowser(t)
	_, url := browse(t, nil, "--listen", "127.0.0.1:0", "--data", t.TempDir())
	b.run(chromedp.Navigate(url+"/#/topics"), b.at("#/topics"))
	const input = "\ufeffid: 1\ndata: a\r\n\r\n: comment\revent: x\rdata:b\ndata:  c\n\nid: 2\n\nevent: lost\n\ndata\n\nretry: 250\nretry: x\nid: bad\u0000\ndata: \u00e9\r\ndata:\r\n\r\nda-ta: no\ndata: cut off"
	const want = `[{"event":"message","data":"a","id":"1"},{"event":"x","data":"b\n c","id":"1"},{"event":"message","data":"","id":"2"},{"event":"message","data":"é\n","id":"2"}]`
	quoted, err := json.Marshal(input)
	if err != nil {
		t.Fatal(err)
	}
	script := `window.parsed = null; import("/assets/sse.js").then(({ Parser }) => {
		const text = ` + string(quoted) + `;
		window.parsed = [1, 2, 3, 7, text.length].map((size) => {
			const got = [];
			const parser = new Parser((m) => got.push(m));
			for (let i = 0; i < text.length; i += size) parser.push(text.slice(i, i + size));
			return [JSON.stringify(got), parser.retry, parser.id].join();
		});
	}); true`
	if _, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](script)); err != nil {
		t.Fatal(err)
	}
	b.run(b.poll(`() => window.parsed !== null`, "it is parsed"))
	for i, size := range []string{"1", "2", "3", "7", "all"} {
		got, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](fmt.Sprintf("window.parsed[%d]", i)))
		if err != nil || got != want+",250,2" {
			t.Errorf("in pieces of %s: %s, %v", size, got, err)
		}
	}
	b.violations()
}
