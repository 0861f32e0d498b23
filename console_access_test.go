package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// Without a key that it asks for, the page says so and shows nothing else.
func TestConsoleAsksForAKey(t *testing.T) {
	b := openBrowser(t)
	_, url := browse(t, []string{"CARILLON_ADMIN_KEY=" + browserKey}, "--listen", "127.0.0.1:0", "--data", t.TempDir())
	b.run(
		chromedp.Navigate(url),
		chromedp.WaitVisible(chromedp.CSS("#locked")),
		chromedp.WaitNotVisible(chromedp.CSS("#nav")),
		b.waitContains("#curl", url+"/v1/stream?topic=**"),
		b.waitContains("#curl", "Authorization: Bearer $CARILLON_KEY"),
	)
	b.accessible()
	b.pictures("key")
	b.violations()
}

// A portal link leads to a console that shows its webhooks and nothing else, and keeps the token out of the address.
func TestConsoleByPortalLink(t *testing.T) {
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
		b.waitContains("#who", "<b>Example</b> Ltd., until "),
		b.waitText("#nav", "WebhooksDeliveries"),
		b.count("#webhooks .rows li", 1),
		b.waitText("#webhooks .title", hook.URL+"/4711"),
		chromedp.WaitNotVisible(chromedp.CSS("#locked")),
		b.poll(`() => !location.href.includes("crp_")`, "the token has left the address"),
		b.poll(`() => !document.documentElement.outerHTML.includes("crp_") && !document.documentElement.outerHTML.includes("whsec_")`, "neither token nor secret is on the page"),
		b.at("#/deliveries"),
		// The delivery may still be under way when the page asks first.
		b.poll(`() => document.querySelector("#deliveries .pill.bad")?.textContent === "failed" || (document.querySelector("#refresh").click(), false)`, "the delivery is shown"),
		b.count("#deliveries .rows li", 1),
		b.waitText("#deliveries .title", "customers.4711.paid"),
		b.at("#/topics"),
		b.waitText("#view h1", "Nothing here"),
	)
	b.accessible()

	// The user registers a webhook, is shown its secret once, and is refused one of somebody else's topics.
	register := func(topic string) {
		b.run(
			b.at("#/webhooks/new"),
			b.fill("#url", hook.URL+"/mine"),
			b.fill("#topics", topic),
			b.press("#webhook-form", "Register"),
		)
	}
	register("customers.4711.orders.*")
	b.run(b.waitContains("#secret", "whsec_"), b.at("#/webhooks"), b.count("#webhooks .rows li", 2))
	b.pictures("portal")
	register("customers.4712.*")
	b.run(b.waitContains("#topics-wrong", "customers.4711.**"), b.at("#/webhooks"), b.count("#webhooks .rows li", 2))

	// It stays so when the page is loaded again, and ends with signing out.
	b.run(
		chromedp.Navigate(url),
		b.count("#webhooks .rows li", 2),
		b.poll(`() => !document.documentElement.outerHTML.includes("whsec_")`, "the secret is not shown again"),
		b.press(".me", "Sign out"),
		chromedp.WaitVisible(chromedp.CSS("#locked")),
		b.poll(`() => sessionStorage.length === 0`, "nothing is kept"),
	)

	// A link that is no good says so; a key is taken by the form, and shows everything.
	b.run(
		chromedp.Navigate(link+"x"),
		b.waitContains("#locked-why", "not one of this gateway's"),
		b.poll(`() => location.hash === "" && sessionStorage.length === 0`, "the token is forgotten"),
		b.fill("#key", browserKey),
		b.press("#sign-in", "Sign in"),
		b.waitContains("#who", "with a key"),
		b.at("#/webhooks"),
		b.count("#webhooks .rows li", 3),
		b.at("#/play"),
		b.waitText("#state", "live"),
	)
	b.publish("demo.hello", "text/plain", "by a key")
	b.run(
		b.waitContains("#result-title", "Accepted"),
		b.waitText("#events li:first-child pre", "by a key"),
	)
	b.violations()
}

// Who is connected; tenants with their quotas; the first key, which closes the gateway and keeps the page in; and keys.
func TestConsoleStreamsKeysTenantsAudit(t *testing.T) {
	b := openBrowser(t)
	_, url := browse(t, nil, "--listen", "127.0.0.1:0", "--data", t.TempDir())
	listening, err := http.Get(url + "/v1/stream?topic=orders.*&filter=data.total+%3E+1.0")
	if err != nil {
		t.Fatal(err)
	}
	defer listening.Body.Close()
	b.run(
		chromedp.Navigate(url+"/#/streams"),
		b.count("#streams .rows li", 1),
		b.waitText("#streams .title", "orders.*"),
		b.waitContains("#streams .rows", "filter: data.total > 1.0"),
	)
	b.accessible()
	b.pictures("streams")

	b.run(
		b.at("#/tenants"),
		b.waitText("#tenants .title", "default"),
		b.fill("#tenant-name", "Shop!"),
		b.waitContains("#tenant-name-wrong", "a-z 0-9"),
		b.fill("#tenant-name", "shop"),
		b.waitText("#tenant-name-wrong", ""),
		b.fill("#new-webhooks", "10"),
		b.press("#new-tenant", "Create"),
		b.count("#tenants .rows li", 2),
		b.waitContains("#tenants", "0 webhooks of 10 webhooks"),
		b.poll(`() => { const li = [...document.querySelectorAll("#tenants li")].find((li) => li.textContent.includes("shop")); li.id = "shop"; return true; }`, "it is found"),
		b.press("#shop", "Quotas"),
		b.fill("#quota-shop-webhooks", "20"),
		b.press("#shop form", "Save"),
		b.waitContains("#tenants", "0 webhooks of 20 webhooks"),
	)
	b.accessible()
	b.pictures("tenants")

	b.run(
		b.at("#/keys"),
		b.waitContains("#keys .empty", "No keys"),
		b.fill("#key-name", "<i>admin</i>"),
		b.press("#new-key", "Create"),
		b.waitContains("#secret", "crn_"),
		b.count("#keys .rows li", 1),
		b.waitText("#keys .title", "<i>admin</i>"),
	)
	b.pictures("keys-first")
	b.run(
		b.press(".once", "Done"),
		b.waitText("#who", "with a key"),
		b.waitText("#view h1", "Keys"),
		b.poll(`() => !document.documentElement.textContent.includes("crn_")`, "the key is not shown again"),
		b.fill("#key-name", "shop"),
		b.poll(`() => { document.querySelector("[data-scope=publish]").click(); return true; }`, "a scope is chosen"),
		b.fill("#key-topics", "orders.**"),
		b.fill("#key-expires", "720h"),
		b.press("#new-key", "Create"),
		b.count("#keys .rows li", 2),
		b.waitContains("#keys", "orders.**"),
		b.poll(`() => { const li = [...document.querySelectorAll("#keys li")].find((li) => li.querySelector(".title").textContent === "shop"); li.id = "shop-key"; return true; }`, "it is found"),
	)
	b.accessible()
	b.pictures("keys")
	b.run(
		b.press("#shop-key", "Revoke"),
		b.press("dialog", "Revoke"),
		b.poll(`() => [...document.querySelectorAll("#keys .pill.bad")].some((p) => p.textContent === "revoked")`, "it is revoked"),
		b.at("#/audit"),
		// A gateway that keeps a record has what was done above in it.
		b.poll(`() => [...document.querySelectorAll("#audit .title")].some((a) => a.textContent === "key.revoked")`, "the audit is shown"),
	)
	b.accessible()
	b.pictures("audit")

	// In another tenant's name, and back.
	b.run(
		b.at("#/tenants"),
		b.poll(`() => { const li = [...document.querySelectorAll("#tenants li")].find((li) => li.querySelector(".title").textContent === "shop"); if (li) li.id = "shop"; return Boolean(li); }`, "it is found"),
		b.press("#shop", "Work in it"),
		b.waitContains("#who", "in shop"),
		b.at("#/keys"),
		b.waitContains("#keys .empty:not([hidden])", "No keys are stored."),
		b.press(".me", "Leave tenant"),
		b.waitText("#who", "with a key"),
		b.at("#/tenants"),
		b.poll(`() => { const li = [...document.querySelectorAll("#tenants li")].find((li) => li.querySelector(".title").textContent === "shop"); if (li) li.id = "shop"; return Boolean(li); }`, "it is found"),
		b.press("#shop", "Delete"),
		b.press("dialog", "Delete"),
		b.count("#tenants .rows li", 1),
	)
	b.violations()
}
