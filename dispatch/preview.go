package dispatch

import (
	"context"
	"net/http"

	"github.com/carillon/carillon/event"
)

// Preview is a request as it would be sent.
type Preview struct {
	Method string
	URL    string
	Header http.Header // with *** in the place of credentials
	Body   []byte      // shared: never written to
}

// masked stands for what must not be shown.
const masked = "***"

// Preview makes the first request for an event to a webhook, as [Sender.Send] would, and sends nothing: no connection is
// opened, and no token fetched. The error is a [TransformError] where the webhook's transform fails on the event.
func (s *Sender) Preview(ctx context.Context, w *event.Webhook, ev *event.Event) (Preview, error) {
	m, err := s.message(ctx, &Request{Webhook: w, Event: ev, Attempt: 1}, s.now())
	if err != nil {
		return Preview{}, err
	}
	for _, name := range []string{"Authorization", "Cookie"} {
		if _, ok := m.header[name]; ok || name == "Authorization" && w.Auth.Type == event.AuthOAuth2 {
			m.header[name] = []string{masked}
		}
	}
	return Preview{Method: http.MethodPost, URL: w.URL, Header: m.header, Body: m.body}, nil
}
