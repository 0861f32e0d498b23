package dispatch

import (
	"bytes"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/filter"
	"github.com/carillon/carillon/store"
)

// complainEvery is how often one webhook's failing filter is logged.
const complainEvery = time.Minute

// matcher knows every webhook and says which ones an event is owed to. Safe for concurrent use.
type matcher struct {
	log     *slog.Logger
	metrics *metrics
	filters *filter.Cache

	mu         sync.RWMutex
	tenants    map[event.TenantID]*event.Index[event.ID]
	conditions map[event.ID]condition // those of which their patterns do not say all

	failing sync.Mutex
	failed  map[event.ID]*filterFailures
}

// condition is what beside its patterns decides whether a webhook is owed an event.
type condition struct {
	disabled bool
	filter   string
}

// filterFailures is how a webhook's filter has failed since the start.
type filterFailures struct {
	events int64
	last   string
	lastAt time.Time
	told   time.Time
}

func newMatcher(log *slog.Logger, m *metrics) *matcher {
	return &matcher{
		log: log, metrics: m, filters: filter.NewCache(0),
		tenants: make(map[event.TenantID]*event.Index[event.ID]), conditions: make(map[event.ID]condition),
		failed: make(map[event.ID]*filterFailures),
	}
}

func (m *matcher) apply(changes []store.WebhookChange) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range changes {
		w := c.Webhook
		index := m.tenants[w.Tenant]
		if index == nil {
			index = new(event.Index[event.ID])
			m.tenants[w.Tenant] = index
		}
		if old := m.conditions[w.ID]; c.Deleted || old.filter != w.Filter {
			m.forgetFailures(w.ID)
		}
		delete(m.conditions, w.ID)
		if c.Deleted {
			index.Set(w.ID, nil)
			if index.Len() == 0 {
				delete(m.tenants, w.Tenant) // it may be the last of a tenant that is deleted
			}
			continue
		}
		index.Set(w.ID, w.Topics)
		if !w.Enabled || w.Filter != "" {
			m.conditions[w.ID] = condition{!w.Enabled, w.Filter}
		}
	}
}

// match returns the webhooks in the order of their ids, which is the order of their creation.
func (m *matcher) match(ev *event.Event) []event.Match {
	matches, filters := m.candidates(ev)
	if len(filters) > 0 {
		matches = m.filtered(ev, matches, filters)
	}
	slices.SortFunc(matches, func(a, b event.Match) int { return bytes.Compare(a.Webhook[:], b.Webhook[:]) })
	return matches
}

// candidates returns the webhooks whose patterns match, and the filters of those that have one.
func (m *matcher) candidates(ev *event.Event) (matches []event.Match, filters map[event.ID]string) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	index := m.tenants[ev.Tenant]
	if index == nil {
		return nil, nil
	}
	index.Match(ev.Topic, func(id event.ID) {
		c := m.conditions[id]
		matches = append(matches, event.Match{Webhook: id, Disabled: c.disabled})
		if c.filter != "" {
			if filters == nil {
				filters = make(map[event.ID]string)
			}
			filters[id] = c.filter
		}
	})
	return matches, filters
}

// wanted reports whether the patterns of any webhook match, whatever its filter says.
func (m *matcher) wanted(tenant event.TenantID, topic event.Topic) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	found := false
	if index := m.tenants[tenant]; index != nil {
		index.Match(topic, func(event.ID) { found = true })
	}
	return found
}

// filtered leaves out the matches whose filter does not accept the event.
func (m *matcher) filtered(ev *event.Event, matches []event.Match, filters map[event.ID]string) []event.Match {
	in := filter.NewInput(ev, time.Now())
	accepted := matches[:0]
	for _, match := range matches {
		source, ok := filters[match.Webhook]
		if !ok {
			accepted = append(accepted, match)
			continue
		}
		wanted, err := m.evaluate(source, in)
		if err != nil {
			match.FilterError = true
			m.filterFailed(match.Webhook, ev, err)
		}
		if wanted || err != nil {
			accepted = append(accepted, match)
		}
	}
	return accepted
}

func (m *matcher) evaluate(source string, in *filter.Input) (bool, error) {
	f, err := m.filters.Filter(source)
	if err != nil {
		return false, err
	}
	return f.Match(in)
}

// filterFailed counts a failure, shows it on the webhook and logs it now and then.
func (m *matcher) filterFailed(webhook event.ID, ev *event.Event, err error) {
	m.metrics.filterErrors.Inc()
	now := time.Now()
	m.failing.Lock()
	defer m.failing.Unlock()
	f := m.failed[webhook]
	if f == nil {
		f = &filterFailures{}
		m.failed[webhook] = f
	}
	f.events++
	f.last, f.lastAt = err.Error(), now
	if now.Sub(f.told) >= complainEvery {
		f.told = now
		m.log.Warn("a webhook's filter failed on an event, which is not delivered", "webhook", webhook, "event", ev.ID,
			"topic", ev.Topic, "error", err, "events", f.events)
	}
}

func (m *matcher) filterErrors(webhook event.ID) (events int64, last string, at time.Time) {
	m.failing.Lock()
	defer m.failing.Unlock()
	if f := m.failed[webhook]; f != nil {
		return f.events, f.last, f.lastAt
	}
	return 0, "", time.Time{}
}

func (m *matcher) forgetFailures(webhook event.ID) {
	m.failing.Lock()
	defer m.failing.Unlock()
	delete(m.failed, webhook)
}
