package api

import (
	"net/http"
	"slices"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
	"github.com/carillon/carillon/stream"
)

// streamDocument is an open stream as the API shows it.
type streamDocument struct {
	ID         event.ID        `json:"id"`
	Topics     []event.Pattern `json:"topics"`
	Filter     *string         `json:"filter"`
	Format     string          `json:"format"`
	Event      *string         `json:"event"` // topic: events are named by their topics
	Address    *string         `json:"address"`
	Key        *string         `json:"key"` // id of the key, or holder of the JWT, that it was opened with
	OpenedAt   stamp           `json:"opened_at"`
	Cursor     event.Cursor    `json:"cursor"`
	Lag        int64           `json:"lag"` // in events of the log, of which not all need be the stream's
	CatchingUp bool            `json:"catching_up"`
}

// listStreams lists who is connected, those that came first first. The token of a page is the id of its last stream.
func (a *API) listStreams(w http.ResponseWriter, r *http.Request) *problem {
	q := readQuery(r, "limit", "page")
	page := q.page()
	if p := q.problem(); p != nil {
		return p
	}
	var after event.ID
	if page.Token != "" {
		var err error
		if after, err = event.ParseID(page.Token); err != nil {
			return a.readProblem(r, "listing streams", store.ErrPage)
		}
	}
	list := store.List[stream.Info]{Data: a.streams.Streams(tenantOf(r), after, page.Limit+1)}
	if len(list.Data) > page.Limit {
		list.Data = list.Data[:page.Limit]
		list.Next = list.Data[page.Limit-1].ID.String()
	}
	list.Data = slices.DeleteFunc(list.Data, func(s stream.Info) bool { return !manages(r, s.Patterns) })
	writeList(w, list, showStream)
	return nil
}

func showStream(s stream.Info) streamDocument {
	doc := streamDocument{
		ID: s.ID, Topics: s.Patterns, Filter: orNull(s.Filter), Format: s.Format.String(), Key: orNull(s.Key),
		OpenedAt: stamp(s.Opened), Cursor: s.Cursor, Lag: s.Lag, CatchingUp: s.CatchingUp,
	}
	if s.Named {
		doc.Event = orNull("topic")
	}
	if s.Address.IsValid() {
		doc.Address = orNull(s.Address.Addr().Unmap().String())
	}
	return doc
}
