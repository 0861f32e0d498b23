package bench

import (
	"fmt"
	"testing"
	"time"
)

// Paced streams get small events at a steady rate.
const (
	pacedRate = 50 // events a second
	pacedSize = 200

	// slowRate is for more streams than two processors can write to one by one at pacedRate.
	slowRate = 5
)

// BenchmarkStreamsPaced sends events at a steady rate to few and to many streams, beside a process that only writes as
// much to as many sockets. Posts are part of the gateway's processor time: what they cost without a stream stands beside
// it, as a share of a message.
func BenchmarkStreamsPaced(b *testing.B) {
	settle, span, rounds := sized(time.Second, 100*time.Millisecond), sized(8*time.Second, 300*time.Millisecond), sized(3, 1)
	for _, n := range sized([]int{10, 100, 1000, 5000, 10_000}, []int{10, 100}) {
		rate := pacedRate
		if n > 5000 {
			rate = slowRate
		}
		b.Run(fmt.Sprintf("streams=%d", n), func(b *testing.B) {
			gateway, floor := newProcess(b).source(), newFloor(b)
			var each, least, ratios, rates, posts []float64
			for round := range rounds {
				g, f, p := gateway.paced(n, rate, settle, span), floor.paced(n, rate, settle, span), gateway.paced(0, rate, settle, span)
				b.Logf("round %d: gateway %.2f µs at %.0f messages/s, floor %.2f µs at %.0f/s, a post by itself %.0f µs",
					round, g.perMessage, g.messages, f.perMessage, f.messages, p.perMessage)
				each, least = append(each, g.perMessage), append(least, f.perMessage)
				ratios, rates = append(ratios, g.perMessage/f.perMessage), append(rates, g.messages)
				posts = append(posts, p.perMessage/float64(n))
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(each), "cpu-µs/msg")
			b.ReportMetric(median(least), "floor-cpu-µs/msg")
			b.ReportMetric(median(ratios), "gateway/floor")
			b.ReportMetric(median(posts), "posts-cpu-µs/msg")
			b.ReportMetric(median(rates), "msg/s")
		})
	}
}

// BenchmarkStreamsFullSpeed posts as fast as a few clients can, beside the floor of paced events.
func BenchmarkStreamsFullSpeed(b *testing.B) {
	n, events, rounds := sized(1000, 50), sized[int64](20_000, 400), sized(3, 1)
	settle, span := sized(time.Second, 100*time.Millisecond), sized(5*time.Second, 300*time.Millisecond)
	gateway, floor := newProcess(b).source(), newFloor(b)
	var each, rates, ratios []float64
	for round := range rounds {
		g, f := gateway.fullSpeed(n, events), floor.paced(n, pacedRate, settle, span)
		b.Logf("round %d: %.3f µs at %.0f messages/s, floor of paced events %.2f µs", round, g.perMessage, g.messages, f.perMessage)
		each, rates, ratios = append(each, g.perMessage), append(rates, g.messages), append(ratios, g.perMessage/f.perMessage)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(each), "cpu-µs/msg")
	b.ReportMetric(median(rates), "msg/s")
	b.ReportMetric(median(ratios), "gateway/paced-floor")
}
