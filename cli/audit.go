package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/user"

	"github.com/carillon/carillon/event"
)

// auditCommand prints the audit log.
type auditCommand struct {
	Since   string   `placeholder:"TIME" help:"Only what was done at this time or later: an RFC 3339 time, or a duration ago such as 2h or 7d."`
	Until   string   `placeholder:"TIME" help:"Only what was done before this time."`
	Action  []string `placeholder:"ACTION" help:"Only this, such as webhook.updated or key.created. Repeatable."`
	By      string   `placeholder:"ID" help:"Only what was done with the key of this id."`
	Subject string   `placeholder:"ID" help:"Only what was done to the webhook, key, delivery or job of this id."`
	Limit   int      `placeholder:"N" help:"At most so many entries, the newest; all if not given."`

	Client client `embed:""`
}

// Run prints the entries, newest first.
func (c *auditCommand) Run(ctx context.Context, p *Process) error {
	if c.Limit < 0 {
		return usageError{errors.New("--limit must not be negative")}
	}
	query := url.Values{}
	for name, value := range map[string]string{"since": c.Since, "until": c.Until, "key": c.By, "subject": c.Subject} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if len(c.Action) > 0 {
		query["action"] = c.Action
	}
	return c.Client.printList(ctx, p.Stdout, []string{"v1", "audit"}, query, c.Limit)
}

// commandOrigin is where a change comes from that a command makes on the data itself.
func commandOrigin() event.Origin {
	by := event.Actor{Kind: event.ActorCommandLine}
	if u, err := user.Current(); err == nil {
		by.Name = u.Username
	} else {
		by.Name = fmt.Sprint("uid ", os.Getuid()) // a container need not know its users
	}
	return event.Origin{Actor: by}
}
