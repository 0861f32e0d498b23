package bench

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/carillon/carillon/dispatch"
	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// registered is a store that knows webhooks and nothing else.
type registered struct {
	dispatch.Ledger
	webhooks []store.WebhookChange
}

func (r *registered) WatchWebhooks(changed func([]store.WebhookChange)) (func(), error) {
	changed(r.webhooks)
	return func() {}, nil
}

// BenchmarkMatch finds the ten webhooks that an event is owed to among more and more that it is not owed to: by literal
// patterns, by ones with wildcards, and by a filter beside, the same for all or one for each.
func BenchmarkMatch(b *testing.B) {
	const matches = 10
	kinds := []struct {
		name    string
		pattern string
		filter  func(i int) string
	}{
		{"literal", "shop.g%d.order.created", nil},
		{"wildcards", "*.g%d.**", nil},
		{"one-filter", "shop.g%d.order.created", func(int) string { return `data.total > 100 && data.currency == "EUR"` }},
		{"own-filters", "shop.g%d.order.created", func(i int) string {
			return fmt.Sprintf(`data.total > 100 && data.customer != "%d"`, i)
		}},
	}
	body := []byte(`{"id":"ord_1","total":250,"currency":"EUR","customer":"none","lines":[{"sku":"a","n":1},{"sku":"b","n":2}]}`)
	for _, kind := range kinds {
		for _, count := range []int{10, 100, 1000, 10_000, 100_000} {
			b.Run(fmt.Sprintf("%s/webhooks=%d", kind.name, count), func(b *testing.B) {
				r := &registered{}
				for i := range count {
					w := &event.Webhook{
						ID: event.NewID(), Tenant: event.DefaultTenant, URL: "http://127.0.0.1:9/", Enabled: true,
						Topics: []event.Pattern{event.Pattern(fmt.Sprintf(kind.pattern, i/matches))}, Timeout: event.DefaultTimeout,
						MaxInFlight: event.DefaultMaxInFlight,
					}
					if kind.filter != nil {
						w.Filter = kind.filter(i)
					}
					r.webhooks = append(r.webhooks, store.WebhookChange{Webhook: w})
				}
				d, err := dispatch.New(dispatch.Config{Store: r, Log: slog.New(slog.DiscardHandler)})
				if err != nil {
					b.Fatal(err)
				}
				defer d.Close()
				events := make([]*event.Event, min(count/matches, 1000))
				for i := range events {
					events[i] = &event.Event{
						ID: event.NewID(), Tenant: event.DefaultTenant, ContentType: "application/json", Payload: body, Time: time.Now(),
						Topic: event.Topic(fmt.Sprintf("shop.g%d.order.created", i*(count/matches)/len(events))),
					}
				}
				for _, ev := range events { // filters are compiled when they are first asked
					if n := len(d.Match(ev)); n != matches {
						b.Fatalf("%d webhooks match, want %d", n, matches)
					}
				}
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					d.Match(events[i%len(events)])
					i++
				}
			})
		}
	}
}
