package sqlite_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
	"github.com/carillon/carillon/store/sqlite"
)

// outcome is what a writer was told.
type outcome int

const (
	unknown outcome = iota // or not told yet
	stored
	refused
)

func outcomeOf(tb testing.TB, err error) outcome {
	switch {
	case err == nil:
		return stored
	case errors.Is(err, store.ErrFull), errors.Is(err, store.ErrNotStored):
		return refused
	case errors.Is(err, store.ErrUnknown):
		return unknown
	}
	tb.Errorf("an error outside of the contract: %v", err)
	return unknown
}

// write is one write of the script, in the ledger that is kept outside of the engine.
type write struct {
	outcome outcome

	drafts   []store.Draft // an append
	receipts []store.Receipt

	settled *store.Settlement // a settlement

	stepped int // a step of the replay, and how many deliveries it made pending

	version int64 // of the webhook that the script changes: a change to it

	trimmed []event.ID // a trim of these events

	audited *audited // a change that leaves an entry in the audit log
}

// script is a scripted run and its ledger.
type script struct {
	tb    testing.TB
	play  func(*script, context.Context, *sqlite.Engine)
	clock time.Time

	mu     sync.Mutex
	writes []*write
	told   int // writes of which the outcome is known

	owed, changing event.ID // webhooks

	replayed event.ID           // a webhook
	replays  []event.DeliveryID // what the replay can make pending
	job      event.ID           // the replay; zero: it was not made yet
}

const (
	scriptTopic   = event.Topic("script.topic")
	replayedTopic = event.Topic("script.replayed")
	toldTopic     = event.Topic("_script.told")
)

// replayStep is how many deliveries one step of the replay makes pending.
const replayStep = 2

func (s *script) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.clock
}

// do makes one write and enters it.
func (s *script) do(w *write, write func() error) error {
	s.mu.Lock()
	s.clock = s.clock.Add(time.Second)
	s.writes = append(s.writes, w)
	s.mu.Unlock()
	err := write()
	s.mu.Lock()
	defer s.mu.Unlock()
	w.outcome = outcomeOf(s.tb, err)
	s.told++
	return err
}

func (s *script) draft(size int) store.Draft {
	ev := &event.Event{ID: event.NewID(), Tenant: event.DefaultTenant, Topic: scriptTopic,
		Payload: bytes.Repeat([]byte("payload "), size/8), Matches: []event.Match{{Webhook: s.owed}}}
	return store.Draft{Event: ev, Key: "key " + ev.ID.String()}
}

func (s *script) append(ctx context.Context, e *sqlite.Engine, n, size int) *write {
	w := &write{}
	for range n {
		w.drafts = append(w.drafts, s.draft(size))
	}
	_ = s.do(w, func() (err error) {
		receipts, err := e.Append(ctx, w.drafts)
		s.mu.Lock()
		w.receipts = receipts
		s.mu.Unlock()
		return err
	})
	return w
}

// prepare makes a job that replays what a webhook was owed, and reports whether it could.
func (s *script) prepare(ctx context.Context, e *sqlite.Engine) bool {
	w := &event.Webhook{ID: event.NewID(), Tenant: event.DefaultTenant, URL: "https://example.com/", Topics: []event.Pattern{"**"}, Enabled: true}
	if e.CreateWebhook(ctx, w) != nil {
		return false
	}
	drafts := make([]store.Draft, 6)
	for i := range drafts {
		drafts[i] = store.Draft{Event: &event.Event{ID: event.NewID(), Tenant: event.DefaultTenant, Topic: replayedTopic,
			Matches: []event.Match{{Webhook: w.ID}}}}
	}
	receipts, err := e.Append(ctx, drafts)
	if err != nil {
		return false
	}
	var settled store.Settlements
	var ids []event.DeliveryID
	for _, r := range receipts {
		id := event.DeliveryID{Event: r.Cursor, Webhook: w.ID}
		ids = append(ids, id)
		// Their answers spread them over many pages, and one order key has a step park and release.
		settled.Settled = append(settled.Settled, store.Settlement{ID: id, Tenant: event.DefaultTenant, State: event.Failed, OrderKey: 7,
			Attempt: &event.Attempt{Number: 1, At: s.now(), Status: 500, Outcome: event.ErrStatus5xx, Answer: bytes.Repeat([]byte("x"), 900)}})
		settled.Floor = r.Cursor
	}
	if e.Settle(ctx, settled) != nil {
		return false
	}
	job, err := e.CreateJob(ctx, store.Job{ID: event.NewID(), Tenant: event.DefaultTenant, Webhook: w.ID,
		Filter: store.ReplayFilter{States: []event.State{event.Failed}}})
	if err != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replayed, s.replays, s.job = w.ID, ids, job.ID
	return true
}

// replay goes on with the job.
func (s *script) replay(ctx context.Context, e *sqlite.Engine) {
	w := &write{stepped: replayStep}
	_ = s.do(w, func() error {
		_, made, err := e.StepJob(ctx, s.job, replayStep)
		if err == nil {
			s.mu.Lock()
			w.stepped = len(made)
			s.mu.Unlock()
		}
		return err
	})
}

// runLedger plays a script about deliveries: settlements with announcements, which park and release rows, and the steps
// of a replay.
func (s *script) runLedger(ctx context.Context, e *sqlite.Engine) {
	owed := &event.Webhook{ID: event.NewID(), Tenant: event.DefaultTenant, URL: "https://example.com/", Topics: []event.Pattern{"**"}, Enabled: true}
	if e.CreateWebhook(ctx, owed) != nil || !s.prepare(ctx, e) {
		return // without these there is nothing to keep
	}
	s.mu.Lock()
	s.owed = owed.ID
	s.mu.Unlock()
	for range 2 {
		for i := range 3 {
			w := s.append(ctx, e, 1, 200)
			if w.outcome != stored {
				continue
			}
			settled := s.settlement(w.receipts[0], i%2 == 1)
			settled.OrderKey = 7
			settled.Announce = &event.Event{ID: event.NewID(), Tenant: event.DefaultTenant, Topic: toldTopic,
				Payload: bytes.Repeat([]byte("told "), 1000)}
			_ = s.do(&write{settled: settled}, func() error {
				return e.Settle(ctx, store.Settlements{Settled: []store.Settlement{*settled}})
			})
		}
		s.replay(ctx, e)
		s.replay(ctx, e)
	}
}

// settlement is the first attempt of what an event owes, which succeeds or is to be retried.
func (s *script) settlement(r store.Receipt, retried bool) *store.Settlement {
	settled := &store.Settlement{ID: event.DeliveryID{Event: r.Cursor, Webhook: s.owed}, Tenant: event.DefaultTenant, State: event.Delivered,
		Attempt: &event.Attempt{Number: 1, At: s.now(), Status: 200, Outcome: event.Success}}
	if retried {
		settled.State, settled.Due = event.Pending, s.now()
		settled.Attempt.Status, settled.Attempt.Outcome = 500, event.ErrStatus5xx
	}
	return settled
}

// run plays a script about the log: appends, alone and many at once, settlements, changes of a webhook, trims; the
// engine's checkpoints come between them.
func (s *script) run(ctx context.Context, e *sqlite.Engine) {
	owed := &event.Webhook{ID: event.NewID(), Tenant: event.DefaultTenant, URL: "https://example.com/", Topics: []event.Pattern{"**"}, Enabled: true}
	changing := &event.Webhook{ID: event.NewID(), Tenant: event.DefaultTenant, URL: "https://example.com/", Topics: []event.Pattern{"**"}, Enabled: true}
	if e.CreateWebhook(ctx, owed) != nil {
		return // without it there is nothing to keep
	}
	s.mu.Lock()
	s.owed, s.changing = owed.ID, changing.ID
	s.mu.Unlock()
	_ = s.do(&write{version: 1}, func() error { return e.CreateWebhook(ctx, changing) })

	var appends []*write
	for round := range 4 {
		appends = append(appends, s.append(ctx, e, 1, 200), s.append(ctx, e, 3, 3000), s.append(ctx, e, 1, 20_000))
		var group sync.WaitGroup
		together := make([]*write, 3)
		for i := range together {
			group.Go(func() { together[i] = s.append(ctx, e, 2, 400) })
		}
		group.Wait()
		appends = append(appends, together...)

		for i, w := range appends[len(appends)-4:] {
			if w.outcome != stored {
				continue
			}
			settled := s.settlement(w.receipts[0], i%2 == 1)
			_ = s.do(&write{settled: settled}, func() error {
				return e.Settle(ctx, store.Settlements{Settled: []store.Settlement{*settled}})
			})
		}
		if round%2 == 1 {
			s.trim(ctx, e, appends)
		}
		next := *changing
		next.Enabled = !next.Enabled
		if changing.Version == 0 {
			continue // refused at the start
		}
		if s.do(&write{version: changing.Version + 1}, func() error { return e.UpdateWebhook(ctx, &next) }) == nil {
			*changing = next
		}
	}
}

// trim removes all events but those of the newest appends.
func (s *script) trim(ctx context.Context, e *sqlite.Engine, appends []*write) {
	w := &write{}
	before := time.Time{}
	for _, a := range appends[:len(appends)-3] {
		for _, r := range a.receipts {
			w.trimmed = append(w.trimmed, r.ID)
			before = r.Time
		}
	}
	age := s.now().Sub(before) // do's clock moves on by a second, so that the oldest event kept is older than this by less
	_ = s.do(w, func() error {
		_, err := e.Trim(ctx, store.Retention{Age: age})
		return err
	})
}

// verify opens what is in dir without faults and holds it to the ledger. told is how many of the writes had been answered.
func (s *script) verify(t testing.TB, dir, label string, writes []write) {
	t.Helper()
	fail := func(format string, args ...any) {
		t.Helper()
		t.Errorf("%s: %s", label, fmt.Sprintf(format, args...))
	}
	path := filepath.Join(dir, "carillon.db")
	e, err := sqlite.Open(t.Context(), sqlite.Options{Path: path, Now: s.now})
	if err != nil {
		fail("opening it again: %v", err)
		return
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			fail("Run: %v", err)
		}
		if err := e.Close(); err != nil {
			fail("Close: %v", err)
		}
		checkIntegrity(t, path, label)
	}()

	gone, perhapsGone := make(map[event.ID]bool), make(map[event.ID]bool)
	for _, w := range writes {
		for _, id := range w.trimmed {
			switch w.outcome {
			case stored:
				gone[id] = true
			case unknown:
				perhapsGone[id] = true
			}
		}
	}
	present := make(map[event.ID]*event.Event)
	for _, w := range writes {
		here := 0
		for _, d := range w.drafts {
			ev, err := e.Event(ctx, event.DefaultTenant, d.Event.ID)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				fail("reading an event: %v", err)
				return
			}
			if err == nil {
				here++
				present[ev.ID] = ev
				if !bytes.Equal(ev.Payload, d.Event.Payload) || len(ev.Matches) != 1 {
					fail("event %s came back changed", ev.ID)
				}
			}
			id := d.Event.ID
			switch {
			case err == nil && w.outcome == refused:
				fail("an event that was refused is there: %s", id)
			case err == nil && gone[id]:
				fail("an event that was trimmed is there: %s", id)
			case err != nil && w.outcome == stored && !gone[id] && !perhapsGone[id]:
				fail("an event that was accepted is not there: %s", id)
			}
		}
		if here != 0 && here != len(w.drafts) && !perhapsGone[w.drafts[0].Event.ID] && !gone[w.drafts[0].Event.ID] {
			fail("%d events of an append of %d are there", here, len(w.drafts))
		}
		for i, r := range w.receipts {
			if ev := present[r.ID]; ev != nil && (ev.Cursor != r.Cursor || !ev.Time.Equal(r.Time)) {
				fail("receipt %d says %+v, the event is at %s", i, r, ev.Cursor)
			}
		}
	}
	s.verifyLedger(ctx, e, fail, writes, present)
	s.verifyReplay(ctx, e, fail, writes)
	s.verifyOrder(ctx, e, fail)
	s.verifyAudit(ctx, e, fail, writes)

	var topics int64
	list, err := e.ListTopics(ctx, event.DefaultTenant, store.Page{Limit: 10})
	if err != nil {
		fail("ListTopics: %v", err)
	}
	for _, topic := range list.Data {
		if topic.Topic == scriptTopic {
			topics += topic.Events
		}
	}
	if topics != int64(len(present)) {
		fail("topics count %d events, there are %d", topics, len(present))
	}

	// Keys answer as they should, and cursors go on.
	var last event.Cursor
	for _, w := range writes {
		for _, r := range w.receipts {
			last = max(last, r.Cursor)
		}
	}
	var again []store.Draft
	for _, w := range writes {
		for _, d := range w.drafts {
			d.Event = &event.Event{ID: event.NewID(), Tenant: event.DefaultTenant, Topic: scriptTopic}
			again = append(again, d)
		}
	}
	receipts, err := e.Append(ctx, again)
	if err != nil {
		fail("appending again: %v", err)
		return
	}
	for _, w := range writes {
		for i, d := range w.drafts {
			r := receipts[0]
			receipts = receipts[1:]
			switch {
			case w.outcome == stored && w.receipts != nil && (!r.Replayed || r.Cursor != w.receipts[i].Cursor || r.ID != d.Event.ID):
				fail("the key of an accepted event answers %+v", r)
			case present[d.Event.ID] != nil && !r.Replayed:
				fail("the key of an event that is there is gone")
			case w.outcome == refused && r.Replayed:
				fail("the key of a refused event answers %+v", r)
			}
			if !r.Replayed {
				if r.Cursor <= last {
					fail("cursor %s was given out again after %s", r.Cursor, last)
				}
				last = r.Cursor
			}
		}
	}
}

// verifyLedger holds deliveries and the webhook to the ledger.
func (s *script) verifyLedger(ctx context.Context, e *sqlite.Engine, fail func(string, ...any), writes []write, present map[event.ID]*event.Event) {
	settled := make(map[event.Cursor]write)
	version, most := int64(0), int64(0)
	for _, w := range writes {
		if w.settled != nil {
			settled[w.settled.ID.Event] = w
		}
		if w.version != 0 {
			switch w.outcome {
			case stored:
				version, most = max(version, w.version), max(most, w.version)
			case unknown:
				most = max(most, w.version)
			}
		}
	}
	if hook, err := e.Webhook(ctx, event.DefaultTenant, s.changing); err == nil {
		if hook.Version < version || hook.Version > most {
			fail("the webhook has version %d, want %d to %d", hook.Version, version, most)
		}
	} else if version > 0 {
		fail("the webhook: %v", err)
	}
	for _, ev := range present {
		d, attempts, err := e.Delivery(ctx, event.DefaultTenant, event.DeliveryID{Event: ev.Cursor, Webhook: s.owed})
		if err != nil {
			fail("the delivery of %s: %v", ev.Cursor, err)
			continue
		}
		w, ok := settled[ev.Cursor]
		before := d.State == event.Pending && len(attempts) == 0
		after := ok && d.State == w.settled.State && len(attempts) == 1 && attempts[0].Status == w.settled.Attempt.Status
		switch {
		case !ok && !before, ok && w.outcome == refused && !before, ok && w.outcome == stored && !after, !before && !after:
			fail("the delivery of %s is %+v with %d attempts; settlement: %+v", ev.Cursor, d, len(attempts), w.settled)
		}
		if !ok || w.settled.Announce == nil {
			continue
		}
		// What was announced came later than the event, and so is there if its settlement is.
		_, err = e.Event(ctx, event.DefaultTenant, w.settled.Announce.ID)
		if told := err == nil; told != (len(attempts) == 1) {
			fail("the delivery of %s has %d attempts; that it was announced is %t", ev.Cursor, len(attempts), told)
		}
	}
}

// verifyReplay holds the job to the ledger and to what it made pending: a step is whole or was not made.
func (s *script) verifyReplay(ctx context.Context, e *sqlite.Engine, fail func(string, ...any), writes []write) {
	least, most, steps := 0, 0, 0
	for _, w := range writes {
		switch {
		case w.stepped == 0:
			continue
		case w.outcome == stored:
			least += w.stepped
			most += w.stepped
		case w.outcome == unknown:
			most += w.stepped
		}
		steps++
	}
	if steps == 0 {
		return
	}
	job, err := e.Job(ctx, event.DefaultTenant, s.job)
	if err != nil {
		fail("the job: %v", err)
		return
	}
	if job.Done < int64(least) || job.Done > int64(most) {
		fail("the job made %d pending, want %d to %d", job.Done, least, most)
	}
	replayed, there := 0, 0
	for _, id := range s.replays {
		d, _, err := e.Delivery(ctx, event.DefaultTenant, id)
		if err != nil {
			continue // trimmed
		}
		there++
		if d.Replay && d.State == event.Pending {
			replayed++
		}
		if d.Replay != (id.Event <= job.At) {
			fail("the job has come to %s, and %s is %+v", job.At, id, d)
		}
	}
	if there == len(s.replays) && int64(replayed) != job.Done {
		fail("the job made %d pending, and there are %d", job.Done, replayed)
	}
}

// verifyOrder holds what the backlog shows to what is pending: of each order key the oldest.
func (s *script) verifyOrder(ctx context.Context, e *sqlite.Engine, fail func(string, ...any)) {
	pending := event.Pending
	for _, id := range []event.ID{s.owed, s.replayed} {
		if id.IsZero() {
			continue // not made by then
		}
		rows, err := e.ListDeliveries(ctx, event.DefaultTenant, store.DeliveryFilter{Webhook: id, State: &pending}, store.Page{Limit: 500})
		if err != nil {
			fail("listing what is pending: %v", err)
			return
		}
		b, err := e.Backlog(ctx, id, s.now().Add(time.Hour), 500)
		if err != nil {
			fail("the backlog: %v", err)
			return
		}
		var want []event.DeliveryID
		heads := make(map[uint64]bool)
		for _, d := range slices.Backward(rows.Data) {
			if d.OrderKey == 0 || !heads[d.OrderKey] {
				want = append(want, d.ID)
			}
			heads[d.OrderKey] = true
		}
		var got []event.DeliveryID
		for _, d := range b.Due {
			got = append(got, d.ID)
		}
		slices.SortFunc(got, func(a, b event.DeliveryID) int { return cmp.Compare(a.Event, b.Event) })
		if !slices.Equal(got, want) || b.Parked != (len(rows.Data) > len(want)) {
			fail("of %d rows it is the turn of %v (others parked: %t), want %v", len(rows.Data), got, b.Parked, want)
		}
	}
}

func checkIntegrity(t testing.TB, path, label string) {
	t.Helper()
	c, err := sqlite3.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	stmt, _, err := c.Prepare(`PRAGMA integrity_check`)
	if err != nil {
		t.Fatal(err)
	}
	defer stmt.Close()
	for stmt.Step() {
		if text := stmt.ColumnText(0); text != "ok" {
			t.Errorf("%s: %s", label, text)
		}
	}
	if err := stmt.Err(); err != nil {
		t.Errorf("%s: %v", label, err)
	}
}

// play runs the script on a file system with faults, to the end of the engine.
func play(t *testing.T, s *script, dir string, faults *faultVFS) (runErr error, ready error, opened bool) {
	t.Helper()
	e, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(dir, "carillon.db"), Now: s.now, VFS: faults.name})
	if err != nil {
		return nil, nil, false
	}
	faults.opened()
	if err := e.Strain(8, 12, 40); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	s.play(s, t.Context(), e)
	ready = e.Ready()
	cancel()
	runErr = <-ended
	if err := e.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	return runErr, ready, true
}

// scripts are what is played with faults, and how many writes and syncs each comes to at least.
var scripts = []struct {
	name  string
	play  func(*script, context.Context, *sqlite.Engine)
	least int
}{
	{"log", (*script).run, 300},
	{"ledger", (*script).runLedger, 150},
	{"audit", (*script).runAudit, 200},
}

func newScript(t *testing.T, play func(*script, context.Context, *sqlite.Engine)) *script {
	return &script{tb: t, play: play, clock: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)}
}

func (s *script) ledger() []write {
	s.mu.Lock()
	defer s.mu.Unlock()
	writes := make([]write, len(s.writes))
	for i, w := range s.writes {
		writes[i] = *w
	}
	return writes
}

// TestFaults fails every write and every sync of a scripted run in turn. Whatever the engine said then is what is found
// when the data is opened again.
func TestFaults(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EIO, syscall.ENOSPC} {
		name := map[syscall.Errno]string{syscall.EIO: "EIO", syscall.ENOSPC: "ENOSPC"}[errno]
		for _, script := range scripts {
			t.Run(name+"/"+script.name, func(t *testing.T) { failEach(t, errno, name, script.play, script.least) })
		}
	}
}

func failEach(t *testing.T, errno syscall.Errno, name string, steps func(*script, context.Context, *sqlite.Engine), least int) {
	step := 1
	switch {
	case raceDetector:
		step = 67
	case testing.Short():
		step = 17
	}
	outcomes := make(map[outcome]int)
	k := 1
	for ; !t.Failed(); k += step {
		faults := registerFaults(t)
		faults.failAt, faults.errno = k, errno
		s := newScript(t, steps)
		dir := t.TempDir()
		runErr, ready, opened := play(t, s, dir, faults)
		if !faults.hit {
			break // the run has fewer writes
		}
		label := fmt.Sprintf("%s at %d", name, k)
		for _, w := range s.writes {
			outcomes[w.outcome]++
		}
		// Of what fails while it opens, SQLite can do without some.
		if opened && k > faults.opening && (errno == syscall.EIO || faults.hitSync) && runErr == nil {
			t.Errorf("%s: the engine goes on", label)
		}
		if opened && errno == syscall.ENOSPC && !faults.hitSync && (runErr != nil || ready != nil || !worksAgain(s.writes)) {
			t.Errorf("%s: the engine did not recover: %v, %v", label, runErr, ready)
		}
		s.verify(t, dir, label, s.ledger())
		_ = os.RemoveAll(dir)
	}
	if k < least {
		t.Errorf("the script has only %d writes", k)
	}
	t.Logf("%d writes and syncs; outcomes: %d stored, %d refused, %d unknown", k-1, outcomes[stored], outcomes[refused], outcomes[unknown])
	if played := k / step; played > 50 && (outcomes[refused] == 0 || errno == syscall.EIO && outcomes[unknown] == 0) {
		t.Error("the faults never reached a writer")
	}
}

// worksAgain reports whether, of many writes, one of the last was stored.
func worksAgain(writes []*write) bool {
	if len(writes) < 10 {
		return true
	}
	for _, w := range writes[len(writes)-3:] {
		if w.outcome == stored {
			return true
		}
	}
	return false
}

// TestPowerCut cuts the power at every sync of a scripted run. What was accepted before is found when the data is opened
// again, whichever of the unsynced writes got to the disk.
func TestPowerCut(t *testing.T) {
	for _, script := range scripts {
		t.Run(script.name, func(t *testing.T) { cutAtEach(t, script.play) })
	}
}

func cutAtEach(t *testing.T, steps func(*script, context.Context, *sqlite.Engine)) {
	faults := registerFaults(t)
	s := newScript(t, steps)
	type image struct {
		dir, label string
		writes     []write
	}
	var images []image
	random := rand.New(rand.NewPCG(1, 2))
	root := t.TempDir()
	syncs := 0
	faults.onSync = func() {
		syncs++
		for _, tear := range tears {
			if (testing.Short() || raceDetector) && (syncs+len(tear.name))%9 != 0 {
				continue
			}
			dir := filepath.Join(root, fmt.Sprintf("%d-%s", syncs, tear.name))
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Error(err)
			}
			faults.cut(t, dir, func(c []change) []change { return tear.keep(random, c) })
			images = append(images, image{dir, fmt.Sprintf("cut at sync %d, %s of the unsynced kept", syncs, tear.name), s.ledger()})
		}
	}
	if runErr, ready, opened := play(t, s, t.TempDir(), faults); runErr != nil || ready != nil || !opened {
		t.Fatalf("without a fault: %v, %v, %v", runErr, ready, opened)
	}
	if syncs < 25 {
		t.Errorf("the script has only %d syncs", syncs)
	}
	for _, i := range images {
		s.verify(t, i.dir, i.label, i.writes)
		if t.Failed() {
			return
		}
		_ = os.RemoveAll(i.dir)
	}
	t.Logf("%d images of %d syncs", len(images), syncs)
}
