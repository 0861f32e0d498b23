package sqlite

import (
	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// news are the events that a write to the ledger may append, made ready for the writer: their deliveries' by the index
// of the settlement.
type news struct {
	ended    []*draftRow // by Settlement.Announce; nil: none
	disabled []*draftRow // by Settlement.AnnounceDisabled
	others   []draftRow
	void     []bool // the settlement is; of the writer
}

// encodeNews makes ready what the write may announce, and says how much that is. It is nil where there is nothing to
// announce and no webhook to disable, as nearly always.
func encodeNews(s *store.Settlements) (n *news, bytes int, err error) {
	row := func(ev *event.Event) (*draftRow, error) {
		if ev == nil {
			return nil, nil
		}
		bytes += len(ev.Payload)
		r := &draftRow{}
		return r, r.encode(&store.Draft{Event: ev})
	}
	need := len(s.Announced) > 0
	for i := range s.Settled {
		need = need || s.Settled[i].Announce != nil || s.Settled[i].Disable != ""
	}
	if !need {
		return nil, 0, nil
	}
	n = &news{
		ended:    make([]*draftRow, len(s.Settled)),
		disabled: make([]*draftRow, len(s.Settled)),
		void:     make([]bool, len(s.Settled)),
	}
	for i := range s.Settled {
		if n.ended[i], err = row(s.Settled[i].Announce); err != nil {
			return nil, 0, err
		}
		if n.disabled[i], err = row(s.Settled[i].AnnounceDisabled); err != nil {
			return nil, 0, err
		}
	}
	n.others, err = encodeEvents(s.Announced)
	for _, ev := range s.Announced {
		bytes += len(ev.Payload)
	}
	return n, bytes, err
}

func encodeEvents(events []*event.Event) ([]draftRow, error) {
	rows := make([]draftRow, len(events))
	for i, ev := range events {
		if err := rows[i].encode(&store.Draft{Event: ev}); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// announce appends an event of the gateway's own, unless it is in the log: a write whose outcome was unknown is made
// again with the same events. Of a tenant that is deleted there is nothing to say to anybody.
func (b *batch) announce(r *draftRow) error {
	if r == nil || b.e.tenants.get(r.event.Tenant) == nil {
		return nil
	}
	there, err := b.c.number(`SELECT 1 FROM event WHERE id = ?`, r.event.ID)
	if err != nil || there != 0 {
		return err
	}
	return b.insertEvent(r)
}
