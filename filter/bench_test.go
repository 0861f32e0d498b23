package filter

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/carillon/carillon/event"
)

const (
	benchFilter    = `data.amount > 100 && topic.startsWith("orders.")`
	benchIteration = `data.items.exists(i, i.sku == "none")`
	benchTransform = `{id: $id, topic: $topic, amount, customer: .customer.country, skus: [.items[].sku]}`
)

// kilobyte is an event whose payload has about 1 KB.
func kilobyte() *event.Event {
	items := strings.TrimSuffix(strings.Repeat(`{"sku":"abc-1","quantity":2,"price":12.5,"note":"as usual, please"},`, 10), ",")
	payload := `{"amount":250.5,"customer":{"id":17,"country":"DE","name":"A. N. Other"},"tags":["x","y"],"items":[` +
		items + `],"comment":"` + strings.Repeat("word ", 30) + `"}`
	return &event.Event{ID: event.NewID(), Topic: "orders.created", Payload: []byte(payload), Time: time.Unix(1e9, 0)}
}

func BenchmarkParse(b *testing.B) {
	ev := kilobyte()
	b.SetBytes(int64(len(ev.Payload)))
	b.ReportAllocs()
	for b.Loop() {
		NewInput(ev, ev.Time).payload()
	}
}

func BenchmarkMatch(b *testing.B) {
	for name, source := range map[string]string{"comparison": benchFilter, "iteration": benchIteration} {
		b.Run(name, func(b *testing.B) {
			f, err := Compile(source)
			if err != nil {
				b.Fatal(err)
			}
			in := NewInput(kilobyte(), time.Time{})
			b.ReportAllocs()
			for b.Loop() {
				if _, err := f.Match(in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkApply(b *testing.B) {
	tr, err := CompileTransform(benchTransform)
	if err != nil {
		b.Fatal(err)
	}
	in := NewInput(kilobyte(), time.Time{})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tr.Apply(b.Context(), in); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	b.Run("filter", func(b *testing.B) {
		kept(b, func(i int) any {
			f, err := Compile(fmt.Sprintf("%s && data.n != %d", benchFilter, i))
			if err != nil {
				b.Fatal(err)
			}
			return f
		})
	})
	b.Run("transform", func(b *testing.B) {
		kept(b, func(i int) any {
			tr, err := CompileTransform(fmt.Sprintf("%s | .n = %d", benchTransform, i))
			if err != nil {
				b.Fatal(err)
			}
			return tr
		})
	})
}

// kept measures what each thing made keeps of the heap.
func kept(b *testing.B, make func(i int) any) {
	all := []any{make(-1)}
	before := heap()
	for b.Loop() {
		all = append(all, make(len(all)))
	}
	b.ReportMetric(float64(heap()-before)/float64(len(all)-1), "kept-B/op")
	runtime.KeepAlive(all)
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func BenchmarkCacheHit(b *testing.B) {
	c := NewCache(0)
	if _, err := c.Filter(benchFilter); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Filter(benchFilter); err != nil {
			b.Fatal(err)
		}
	}
}
