package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// doctorPath is where a doctor is asked for.
const doctorPath = "/v1/stream/doctor"

const (
	// maxDoctors is how many doctors may run at once. They are for people who look into something, not for production,
	// and each holds a connection for as long as its plan says.
	maxDoctors = 32

	// doctorWriteTimeout is how long a client may leave a line unread that no longer fits in between.
	doctorWriteTimeout = 10 * time.Second
)

// proxyHeaders are the request's headers that a doctor shows: those by which proxies tell of themselves, and those that
// decide how the answer may be sent. Everything else, and above all what is secret, stays unsaid.
var proxyHeaders = []string{
	"Accept-Encoding", "Cdn-Loop", "Cf-Ray", "Connection", "Forwarded", "Via", "X-Amz-Cf-Id", "X-Amzn-Trace-Id",
	"X-Cloud-Trace-Context", "X-Envoy-Expected-Rq-Timeout-Ms", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port",
	"X-Forwarded-Proto", "X-Real-Ip", "X-Varnish",
}

// doctorPlan is what a doctor will do: so many ticks, each an interval after what came before, and then, unless Silence
// is 0, a silence and one more tick.
type doctorPlan struct {
	Ticks    int  `json:"ticks"`
	Interval span `json:"interval"`
	Silence  span `json:"silence"`
}

// length is how long the plan takes.
func (p doctorPlan) length() time.Duration {
	return time.Duration(p.Ticks)*time.Duration(p.Interval) + time.Duration(p.Silence)
}

// total is how many ticks there are with the one after the silence.
func (p doctorPlan) total() int {
	if p.Silence > 0 {
		return p.Ticks + 1
	}
	return p.Ticks
}

// doctorArrival is a doctor's first block: how the request arrived.
type doctorArrival struct {
	Protocol string              `json:"protocol"`
	Remote   string              `json:"remote"`
	Host     string              `json:"host"`
	Headers  map[string][]string `json:"headers"`
	Time     stamp               `json:"time"`
	Plan     doctorPlan          `json:"plan"`
}

// doctorTick is the data of a tick.
type doctorTick struct {
	N    int   `json:"n"`
	Of   int   `json:"of"`
	Sent stamp `json:"sent"`
}

// doctorDone is the data of the last block: complete, or stopping when the gateway's own end cut the plan short.
type doctorDone struct {
	Status string `json:"status"`
}

// streamDoctor answers with a stream of known timing, so that whoever reads it can tell what stands between: it is sent
// as real streams are, in tiny pieces that something which buffers would hold back.
func (a *API) streamDoctor(w http.ResponseWriter, r *http.Request) *problem {
	q := readQuery(r, "ticks", "interval", "silence")
	plan := doctorPlan{
		Ticks:    q.number("ticks", 8, 1, 100),
		Interval: span(q.duration("interval", 250*time.Millisecond, 10*time.Millisecond, 5*time.Second)),
		Silence:  span(q.duration("silence", 0, 0, 150*time.Second)),
	}
	if p := q.problem(); p != nil {
		return p
	}
	select {
	case a.doctors <- struct{}{}:
		defer func() { <-a.doctors }()
	default:
		return &problem{kind: kindUnavailable, retryAfter: 10,
			detail: fmt.Sprintf("%d doctors are at work, which is as many as there may be at once.", maxDoctors)}
	}
	ctx, end := a.waits.begin(r.Context(), plan.length()+time.Minute)
	defer end()
	if ctx.Err() != nil {
		return &problem{kind: kindUnavailable, retryAfter: 1, detail: "The gateway is stopping."}
	}
	d := doctor{w: w, control: http.NewResponseController(w), plan: plan}
	d.begin()
	if err := d.run(ctx, arrivalOf(r, plan)); err == nil {
		// The connection may serve another request, whose writes are not the doctor's.
		_ = d.control.SetWriteDeadline(time.Time{})
	}
	return nil
}

func arrivalOf(r *http.Request, plan doctorPlan) doctorArrival {
	shown := make(map[string][]string)
	for _, name := range proxyHeaders {
		if values := r.Header.Values(name); len(values) > 0 {
			shown[name] = values
		}
	}
	return doctorArrival{Protocol: r.Proto, Remote: remoteText(r), Host: r.Host, Headers: shown, Time: stamp(time.Now()), Plan: plan}
}

// doctor is one answer under way.
type doctor struct {
	w       http.ResponseWriter
	control *http.ResponseController
	plan    doctorPlan
}

// begin writes the head of a real stream: what a proxy does with a stream depends on it.
func (d *doctor) begin() {
	beginEventStream(d.w, d.control)
}

// beginEventStream writes the head of a stream that is not one of events.
func beginEventStream(w http.ResponseWriter, control *http.ResponseController) {
	// It would end the request's context, and with it the answer. A server that cannot set deadlines is a test's.
	_ = control.SetReadDeadline(time.Time{})
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store, no-transform")
	header.Set("X-Accel-Buffering", "no")
	header.Set("X-Content-Type-Options", "nosniff")
	// As a stream's, the body ends with the connection: proxies hand chunks on that they would hold back without.
	header.Set("Transfer-Encoding", "identity")
	w.WriteHeader(http.StatusOK)
}

// run carries the plan out. It ends early, without an error, when ctx ends while the client is still there; an error
// says that the client is gone.
func (d *doctor) run(ctx context.Context, arrival doctorArrival) error {
	interval, silence, total := d.plan.Interval, d.plan.Silence, d.plan.total()
	var b bytes.Buffer
	fmt.Fprintf(&b, ": %d ticks follow, %s apart. Look at when these lines come, not at what they say.\n", d.plan.Ticks, interval)
	fmt.Fprint(&b, ": If they come all at once, something between you and the gateway buffers.\n")
	fmt.Fprint(&b, ": If they end before \"event: done\", something between cuts the answer off.\n")
	writeBlock(&b, "doctor", arrival)
	if err := d.send(&b); err != nil {
		return err
	}
	for n := 1; n <= d.plan.Ticks; n++ {
		if !waited(ctx, time.Duration(interval)) {
			return d.stop(&b)
		}
		fmt.Fprintf(&b, ": %s after the line before? If these come all at once, something between buffers.\n", interval)
		writeBlock(&b, "tick", doctorTick{n, total, stamp(time.Now())})
		if n == d.plan.Ticks && silence > 0 {
			fmt.Fprintf(&b, ": Now nothing for %s. If the answer ends meanwhile, something between cuts what is idle.\n\n", silence)
		}
		if err := d.send(&b); err != nil {
			return err
		}
	}
	if silence > 0 {
		if !waited(ctx, time.Duration(silence)) {
			return d.stop(&b)
		}
		fmt.Fprintf(&b, ": %s of silence went by, and nothing was cut.\n", silence)
		writeBlock(&b, "tick", doctorTick{total, total, stamp(time.Now())})
	}
	writeBlock(&b, "done", doctorDone{"complete"})
	return d.send(&b)
}

// stop says that it is the gateway that ends this, and nothing in between.
func (d *doctor) stop(b *bytes.Buffer) error {
	fmt.Fprint(b, ": The gateway is stopping; try again.\n")
	writeBlock(b, "done", doctorDone{"stopping"})
	return d.send(b)
}

// writeBlock writes an event whose data is JSON of the API's own types, which is one line.
func writeBlock(b *bytes.Buffer, name string, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Errorf("marshalling a block of a stream: %w", err)) // it holds nothing that cannot be marshalled
	}
	fmt.Fprintf(b, "event: %s\ndata: %s\n\n", name, data)
}

// send puts what was written on the wire, and empties b.
func (d *doctor) send(b *bytes.Buffer) error {
	_ = d.control.SetWriteDeadline(time.Now().Add(doctorWriteTimeout))
	defer b.Reset()
	if _, err := d.w.Write(b.Bytes()); err != nil {
		return err
	}
	return d.control.Flush()
}

// waited reports whether so long has passed before ctx ended.
func waited(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
