package api_test

import (
	"context"
	"errors"
	"strings"

	"github.com/carillon/carillon/api"
	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// errInner is an error whose text no client may see.
var errInner = errors.New("inner: table events is broken at page 17")

// brokenStore fails with err, if there is one.
type brokenStore struct {
	api.Store
	err error
}

func (s *brokenStore) Append(ctx context.Context, drafts []store.Draft) ([]store.Receipt, error) {
	if s.err != nil {
		return nil, s.err
	}
	return s.Store.Append(ctx, drafts)
}

func (s *brokenStore) ListEvents(ctx context.Context, t event.TenantID, f store.EventFilter, p store.Page) (store.List[store.EventSummary], error) {
	if s.err != nil {
		return store.List[store.EventSummary]{}, s.err
	}
	return s.Store.ListEvents(ctx, t, f, p)
}

func (s *brokenStore) ListTopics(ctx context.Context, t event.TenantID, p store.Page) (store.List[store.TopicSummary], error) {
	if s.err != nil {
		return store.List[store.TopicSummary]{}, s.err
	}
	return s.Store.ListTopics(ctx, t, p)
}

func (s *brokenStore) Event(ctx context.Context, t event.TenantID, id event.ID) (*event.Event, error) {
	if s.err != nil {
		return nil, s.err
	}
	return s.Store.Event(ctx, t, id)
}

func containsText(s, part string) bool { return strings.Contains(s, part) }
