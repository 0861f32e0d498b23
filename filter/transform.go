package filter

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/itchyny/gojq"

	"github.com/carillon/carillon/event"
)

// MaxTransformed is how many bytes a transform's result may have.
const MaxTransformed = 1 << 20

// MaxTransformTime is how long a transform may take. Nearly all of them are bounded by the work they do, which does not
// depend on the clock: this is for what that misses, and long enough for a good transform on a busy machine.
const MaxTransformTime = 250 * time.Millisecond

// What can be wrong with a transform's result, beside what the expression itself complains of. All of them are meant
// for the webhook's owner.
var (
	ErrNoResult    = errors.New("the transform gives no result; it has to give one")
	ErrManyResults = errors.New("the transform gives more than one result; it has to give one")
	ErrTooLarge    = errors.New("the transform's result is larger than 1 MiB")
	ErrTooMuchWork = errors.New("the transform does more work on this event than a transform may")
)

// Transform is a compiled jq expression. It is safe for concurrent use with different inputs.
type Transform struct {
	query *gojq.Query
	bytes int // an estimate of what one machine keeps

	mu   sync.Mutex
	idle []*machine // at most as many as may run at once, and one if they are large
}

// CompileTransform compiles a jq expression (jq 1.7, as gojq has it). Its input is the payload, when it is JSON, or null;
// $topic, $type, $id, $time (RFC 3339 with milliseconds) and $attributes are about the event. Its errors are always a
// [SyntaxError].
//
// There are no modules, no environment ($ENV is empty), no other inputs, no halt and nothing that writes; see the
// package's text for what else is left out and for the bounds. A builtin cannot be defined anew.
func CompileTransform(source string) (*Transform, error) {
	if err := checkSource(source, event.MaxTransformBytes); err != nil {
		return nil, err
	}
	t, err := compileTransform(source)
	if err == nil {
		return t, nil
	}
	var syntax *SyntaxError
	if errors.As(err, &syntax) {
		return nil, syntax
	}
	detail := clip(err.Error())
	return nil, syntaxErrorAt(source, find(source, named.FindString(detail)), detail)
}

// named finds what a compiler's message is about: it does not say where.
var named = regexp.MustCompile(`\$?[A-Za-z_][A-Za-z_0-9]*(/\d+)?$`)

// find returns where a name, with or without its arity, first stands in the source on its own; 0 when nowhere.
func find(source, name string) int {
	name, _, _ = strings.Cut(name, "/")
	for from := 0; name != ""; {
		i := strings.Index(source[from:], name)
		if i < 0 {
			break
		}
		i += from
		end := i + len(name)
		if (i == 0 || !inName(source[i-1])) && (end == len(source) || !inName(source[end])) {
			return i
		}
		from = end
	}
	return 0
}

func inName(c byte) bool {
	return c == '_' || c == '$' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

func compileTransform(source string) (t *Transform, err error) {
	defer recovered(&err)
	query, err := gojq.Parse(source)
	if err != nil {
		var at *gojq.ParseError
		if errors.As(err, &at) {
			return nil, syntaxErrorAt(source, at.Offset-len(at.Token), err.Error())
		}
		return nil, err
	}
	nodes, err := guard(source, query)
	if err != nil {
		return nil, err
	}
	t = &Transform{query: query, bytes: nodes << 10}
	m, err := t.newMachine()
	if err != nil {
		return nil, err
	}
	t.idle = []*machine{m}
	return t, nil
}

var variables = []string{"$topic", "$type", "$id", "$time", "$attributes"}

func (t *Transform) newMachine() (m *machine, err error) {
	m = &machine{patterns: map[string]bool{}}
	options := append(m.functions(), gojq.WithVariables(variables))
	if m.code, err = gojq.Compile(t.query, options...); err != nil {
		return nil, err
	}
	return m, nil
}

func (t *Transform) take() (*machine, error) {
	t.mu.Lock()
	if n := len(t.idle); n > 0 {
		m := t.idle[n-1]
		t.idle = t.idle[:n-1]
		t.mu.Unlock()
		return m, nil
	}
	t.mu.Unlock()
	return t.newMachine()
}

func (t *Transform) put(m *machine) {
	m.context = nil
	if len(m.patterns) > maxPatterns {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.idle) == 0 || len(t.idle) < cap(running) && t.bytes < entryBytes {
		t.idle = append(t.idle, m)
	}
}

// running bounds how many transforms run at once, and so the memory that they may use together. They only compute:
// more of them than processors would not be done sooner.
var running = make(chan struct{}, max(runtime.GOMAXPROCS(0), 1))

// Apply gives the transform's one result as compact JSON, of at most [MaxTransformed] bytes, in at most about
// [MaxTransformTime] once it runs; before, it waits for a processor or ctx. Its errors are meant for the webhook's owner,
// but for ctx's own.
func (t *Transform) Apply(ctx context.Context, in *Input) ([]byte, error) {
	select {
	case running <- struct{}{}:
		defer func() { <-running }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	m, err := t.take()
	if err != nil {
		return nil, errors.New(clip(err.Error()))
	}
	bounded, cancel := context.WithTimeout(ctx, MaxTransformTime)
	defer cancel()
	m.context, m.work, m.stop = bounded, maxWork, nil
	body, err := m.run(in)
	t.put(m)
	if err != nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return body, err
}

func (m *machine) run(in *Input) (body []byte, err error) {
	defer recovered(&err)
	attributes := make(map[string]any, len(in.ev.Attributes))
	for name, value := range in.ev.Attributes {
		attributes[name] = value
	}
	results := m.code.RunWithContext(m, in.payload(), string(in.ev.Topic), in.eventType(), in.ev.ID.String(),
		in.time.UTC().Format("2006-01-02T15:04:05.000Z07:00"), attributes)
	result, ok := results.Next()
	if err := m.failure(result, ok); err != nil {
		return nil, err
	}
	if !ok {
		return nil, ErrNoResult
	}
	another, ok := results.Next()
	if err := m.failure(another, ok); err != nil {
		return nil, err
	}
	if ok {
		return nil, ErrManyResults
	}
	if m.weigh(result, 1, 0); m.stop != nil {
		return nil, m.stop
	}
	if body, err = gojq.Marshal(result); err != nil {
		return nil, fmt.Errorf("the transform's result is not JSON: %s", clip(err.Error()))
	}
	if len(body) > MaxTransformed {
		return nil, ErrTooLarge
	}
	return body, nil
}

// failure returns why a run ended, if it did not by itself.
func (m *machine) failure(result any, ok bool) error {
	if m.stop != nil {
		return m.stop
	}
	if err, failed := result.(error); ok && failed {
		return errors.New(clip(err.Error()))
	}
	return nil
}
