package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/carillon/carillon/event"
)

// tenantsCommand is about who shares the gateway.
type tenantsCommand struct {
	Create createTenantCommand `cmd:"" help:"Make a tenant. Its first key is made by carillon keys create --tenant NAME --scope admin."`
	List   listTenantsCommand  `cmd:"" help:"Print every tenant by name, one a line of JSON."`
	Show   showTenantCommand   `cmd:"" help:"Print a tenant, and what it uses."`
	Update updateTenantCommand `cmd:"" help:"Change a tenant's quotas: those that are given."`
	Delete deleteTenantCommand `cmd:"" help:"Delete a tenant with all that it has: events, webhooks, keys. There is no way back."`
}

// quotaFlags are the quotas of a tenant; what is not given is not changed.
type quotaFlags struct {
	EventsPerSecond *int64    `placeholder:"N" help:"How many events it may post in a second; 0 is no bound."`
	StoredBytes     *byteSize `placeholder:"SIZE" help:"How much its events may take, such as 2GiB; 0 is no bound."`
	Webhooks        *int64    `placeholder:"N" help:"How many webhooks it may have; 0 is no bound."`
	Streams         *int64    `placeholder:"N" help:"How many streams it may have open; 0 is no bound."`
}

// asked returns the quotas that were given, as the API takes them.
func (q *quotaFlags) asked() map[string]int64 {
	asked := make(map[string]int64)
	for name, value := range map[string]*int64{
		"events_per_second": q.EventsPerSecond, "stored_bytes": (*int64)(q.StoredBytes), "webhooks": q.Webhooks, "streams": q.Streams,
	} {
		if value != nil {
			asked[name] = *value
		}
	}
	return asked
}

// tenantNameArg checks a name before it becomes a part of a path.
func tenantNameArg(name string) error {
	if !event.ValidTenantName(name) {
		return usageError{fmt.Errorf("%q is no tenant's name: those are of a-z, 0-9 and -", name)}
	}
	return nil
}

// askAndPrint sends a request and prints the answer.
func (c *client) askAndPrint(ctx context.Context, p *Process, method string, path []string, body any) error {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	answer, err := c.ask(ctx, method, path, nil, text)
	if err != nil {
		return err
	}
	return printBody(p.Stdout, bytes.NewReader(answer))
}

// createTenantCommand makes a tenant.
type createTenantCommand struct {
	Name string `arg:"" help:"Its name, of a-z, 0-9 and -. It cannot be changed."`

	Quotas quotaFlags `embed:""`
	Client client     `embed:""`
}

// Run prints the tenant as the API shows it.
func (c *createTenantCommand) Run(ctx context.Context, p *Process) error {
	if err := tenantNameArg(c.Name); err != nil {
		return err
	}
	body := map[string]any{"name": c.Name, "quotas": c.Quotas.asked()}
	return c.Client.askAndPrint(ctx, p, http.MethodPost, []string{"v1", "tenants"}, body)
}

// listTenantsCommand prints the tenants.
type listTenantsCommand struct {
	Client client `embed:""`
}

// Run prints all pages.
func (c *listTenantsCommand) Run(ctx context.Context, p *Process) error {
	return c.Client.printList(ctx, p.Stdout, []string{"v1", "tenants"}, nil, 0)
}

// showTenantCommand prints one tenant.
type showTenantCommand struct {
	Name string `arg:"" help:"The tenant's name."`

	Client client `embed:""`
}

// Run prints the tenant as the API shows it.
func (c *showTenantCommand) Run(ctx context.Context, p *Process) error {
	if err := tenantNameArg(c.Name); err != nil {
		return err
	}
	return c.Client.askAndPrint(ctx, p, http.MethodGet, []string{"v1", "tenants", c.Name}, nil)
}

// updateTenantCommand changes a tenant's quotas.
type updateTenantCommand struct {
	Name string `arg:"" help:"The tenant's name."`

	Quotas quotaFlags `embed:""`
	Client client     `embed:""`
}

// Run prints the tenant as it is then.
func (c *updateTenantCommand) Run(ctx context.Context, p *Process) error {
	if err := tenantNameArg(c.Name); err != nil {
		return err
	}
	asked := c.Quotas.asked()
	if len(asked) == 0 {
		return usageError{errors.New("which quota? --events-per-second, --stored-bytes, --webhooks or --streams")}
	}
	return c.Client.askAndPrint(ctx, p, http.MethodPatch, []string{"v1", "tenants", c.Name}, map[string]any{"quotas": asked})
}

// deleteTenantCommand ends a tenant.
type deleteTenantCommand struct {
	Name string `arg:"" help:"The tenant's name."`

	Client client `embed:""`
}

// Run prints nothing where all went well.
func (c *deleteTenantCommand) Run(ctx context.Context, _ *Process) error {
	if err := tenantNameArg(c.Name); err != nil {
		return err
	}
	_, err := c.Client.ask(ctx, http.MethodDelete, []string{"v1", "tenants", c.Name}, nil, nil)
	return err
}
