package sqlite

import (
	"context"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// selection says which topics a reader wants, in the way that is cheapest to ask for.
type selection struct {
	tenant   event.TenantID
	patterns []event.Pattern

	// few lists the numbers of all topics that match, if they are not too many; else scan is set and the log is to be
	// read row by row.
	few  []int64
	scan bool

	every bool // all topics, those of the gateway itself too

	seen map[int64]bool // of a scan: whether a topic matches
}

// fewTopics is how many topics are read through their index. Each costs a seek and up to a page of entries.
const fewTopics = 32

// selectTopics finds out which topics of the tenant match. A pattern that begins with a wildcard can match so many that
// it is tried only if everything is.
func selectTopics(c *conn, tenant event.TenantID, patterns []event.Pattern, everything bool) (*selection, error) {
	sel := &selection{tenant: tenant, patterns: patterns}
	for _, p := range patterns {
		if !everything && strings.HasPrefix(string(p), "*") {
			return sel.scanning(), nil
		}
	}
	found := make(map[int64]struct{})
	for _, p := range patterns {
		prefix, _, wild := strings.Cut(string(p), "*")
		if !wild {
			num, err := c.number(`SELECT num FROM topic WHERE tenant = ? AND name = ?`, tenant, string(p))
			if err != nil {
				return nil, err
			}
			if num != 0 {
				found[num] = struct{}{}
			}
			continue
		}
		// prefix ends with a dot, and a slash is the byte after it; without a prefix, every topic is below the tilde.
		end := strings.TrimSuffix(prefix, ".") + "/"
		if prefix == "" {
			end = "~"
		}
		examined := 0
		err := c.each(`SELECT num, name FROM topic WHERE tenant = ? AND name > ? AND name < ?`,
			[]any{tenant, prefix, end}, func(s *sqlite3.Stmt) (bool, error) {
				if p.Match(event.Topic(s.ColumnText(1))) {
					found[s.ColumnInt64(0)] = struct{}{}
				}
				examined++
				return len(found) <= fewTopics && examined < scanRows, nil
			})
		if err != nil {
			return nil, err
		}
		if examined == scanRows {
			return sel.scanning(), nil
		}
	}
	if len(found) > fewTopics {
		return sel.scanning(), nil
	}
	for num := range found {
		sel.few = append(sel.few, num)
	}
	return sel, nil
}

// everyTopic selects all topics of the tenant.
func everyTopic(tenant event.TenantID) *selection {
	return &selection{tenant: tenant, scan: true, every: true}
}

func (sel *selection) scanning() *selection {
	sel.scan, sel.seen = true, make(map[int64]bool)
	return sel
}

// wants reports whether a row of a scan is selected.
func (sel *selection) wants(c *conn, tenant event.TenantID, topic int64) (bool, error) {
	if tenant != sel.tenant || sel.every {
		return tenant == sel.tenant, nil
	}
	if want, ok := sel.seen[topic]; ok {
		return want, nil
	}
	want := false
	_, err := c.first(`SELECT name FROM topic WHERE num = ?`, []any{topic}, func(s *sqlite3.Stmt) {
		want = event.MatchAny(sel.patterns, event.Topic(s.ColumnText(0)))
	})
	sel.seen[topic] = want
	return want, err
}

// topicMark begins a page token of topics. No topic has it.
const topicMark = "~"

// ListTopics implements [store.Log]. The page token is the last name of the page before, behind a mark.
func (e *Engine) ListTopics(ctx context.Context, tenant event.TenantID, p store.Page) (store.List[store.TopicSummary], error) {
	tenant = e.tenants.standing(tenant)
	var list store.List[store.TopicSummary]
	last := ""
	if p.Token != "" {
		var marked bool
		if last, marked = strings.CutPrefix(p.Token, topicMark); !marked {
			return list, store.ErrPage
		}
		if _, err := event.ParseTopic(last); err != nil {
			return list, store.ErrPage
		}
	}
	err := e.read(ctx, func(c *conn) error {
		return c.each(`SELECT name, events, last_cursor, last_time FROM topic
			WHERE tenant = ? AND name > ? ORDER BY name LIMIT ?`, []any{tenant, last, p.Limit + 1},
			func(s *sqlite3.Stmt) (bool, error) {
				if len(list.Data) == p.Limit {
					list.Next = topicMark + string(list.Data[p.Limit-1].Topic)
					return false, nil
				}
				list.Data = append(list.Data, store.TopicSummary{
					Topic:  event.Topic(s.ColumnText(0)),
					Events: s.ColumnInt64(1),
					Last:   columnCursor(s, 2),
					LastAt: columnTime(s, 3),
				})
				return true, nil
			})
	})
	return list, reading("topics", err)
}
