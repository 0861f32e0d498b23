package stream

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/carillon/carillon/event"
)

// The topics on which the hub tells who comes and who leaves.
const (
	TopicOpened event.Topic = "_carillon.stream.opened"
	TopicClosed event.Topic = "_carillon.stream.closed"
)

const (
	// maxNews is how many arrivals and departures may wait to be told; further ones are not told, and counted.
	maxNews = 4096
	// toldTopics is how many of a stream's topics are told: a thousand of them are a quarter of a mebibyte.
	toldTopics = 16
	// newsBatch is how many are told in one write to the log.
	newsBatch = 256
)

// presence gathers who came and left. They are told behind the streams' back: nobody waits for the log to open a stream.
type presence struct {
	publish func(context.Context, []*event.Event) error
	wanted  func(event.TenantID, event.Topic) bool
	wake    chan struct{}

	mu      sync.Mutex
	waiting []arrival
}

// arrival is a stream that was opened or closed.
type arrival struct {
	tenant event.TenantID
	topic  event.Topic
	data   presenceNews
}

// presenceNews is the payload of an event on TopicOpened or TopicClosed.
type presenceNews struct {
	Stream  event.ID        `json:"stream"`
	Topics  []event.Pattern `json:"topics"` // the first of very many
	Asked   int             `json:"topic_count"`
	Opened  time.Time       `json:"opened"`
	Closed  *time.Time      `json:"closed,omitempty"`
	Address string          `json:"address,omitempty"`
	Key     string          `json:"key,omitempty"`
	Cursor  event.Cursor    `json:"cursor"` // how far the stream had come at least
}

func (h *Hub) came(s *subscriber) { h.tell(s, TopicOpened, nil) }

func (h *Hub) went(s *subscriber) {
	now := time.Now().UTC().Truncate(event.Precision)
	h.tell(s, TopicClosed, &now)
}

func (h *Hub) tell(s *subscriber, topic event.Topic, closed *time.Time) {
	p := &h.news
	if p.publish == nil {
		return
	}
	news := presenceNews{
		Stream: s.id, Topics: s.group.patterns[:min(len(s.group.patterns), toldTopics)], Asked: len(s.group.patterns), Opened: time.UnixMilli(s.opened).UTC(), Closed: closed, Key: s.shownKey(),
		Cursor: event.Cursor(s.shown.Load()),
	}
	if s.address.IsValid() {
		news.Address = s.address.Addr().String()
	}
	p.mu.Lock()
	full := len(p.waiting) >= maxNews
	if !full {
		p.waiting = append(p.waiting, arrival{s.tenant, topic, news})
	}
	p.mu.Unlock()
	if full {
		h.metrics.untold.Inc()
		return
	}
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *presence) take() []arrival {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := min(len(p.waiting), newsBatch)
	batch := p.waiting[:n:n]
	p.waiting = p.waiting[n:]
	if len(p.waiting) == 0 {
		p.waiting = nil
	}
	return batch
}

// announce tells who came and left until ctx ends. Only what somebody asks for is told: a log that grew with each
// browser's every reconnect, for nobody, would be no favour.
func (h *Hub) announce(ctx context.Context) {
	p := &h.news
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		}
		for batch := p.take(); len(batch) > 0 && ctx.Err() == nil; batch = p.take() {
			var events []*event.Event
			type place struct {
				tenant event.TenantID
				topic  event.Topic
			}
			asked := make(map[place]bool)
			for _, a := range batch {
				at := place{a.tenant, a.topic}
				wanted, known := asked[at]
				if !known {
					wanted = h.asked(a.tenant, a.topic)
					asked[at] = wanted
				}
				if !wanted {
					continue
				}
				payload, err := json.Marshal(a.data)
				if err != nil {
					panic(fmt.Errorf("marshalling an announcement: %w", err)) // it holds nothing that cannot be marshalled
				}
				events = append(events, &event.Event{
					ID: event.NewID(), Tenant: a.tenant, Topic: a.topic, ContentType: "application/json", Payload: payload,
				})
			}
			if len(events) == 0 {
				continue
			}
			if err := p.publish(ctx, events); err != nil && ctx.Err() == nil {
				h.metrics.untold.Add(float64(len(events)))
				h.logger.Warn("who came to streams and who left could not be told", "error", err)
			}
		}
	}
}

// asked reports whether anybody wants events of a topic.
func (h *Hub) asked(tenant event.TenantID, topic event.Topic) bool {
	if h.news.wanted != nil && h.news.wanted(tenant, topic) {
		return true
	}
	for _, sh := range h.allShards() {
		if sh.interested(tenant, topic) {
			return true
		}
	}
	return false
}
