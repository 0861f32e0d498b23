package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
	"github.com/carillon/carillon/store/sqlite"
)

// keysCommand is about who may use the gateway.
type keysCommand struct {
	Create createKeyCommand `cmd:"" help:"Make a key and print it: it is shown this once."`
	List   listKeysCommand  `cmd:"" help:"Print every key, newest first, one a line of JSON."`
	Revoke revokeKeyCommand `cmd:"" help:"End a key, and the streams that were opened with it."`
}

// createKeyCommand makes a key.
type createKeyCommand struct {
	Name    string        `required:"" placeholder:"NAME" help:"What it is for, to know it again by."`
	Scope   []string      `required:"" placeholder:"SCOPE" help:"What it may do: publish, subscribe, manage (webhooks and deliveries) or admin (everything). Repeatable."`
	Topics  []string      `placeholder:"PATTERN" help:"A pattern of topics that it reaches, such as 'orders.**'; every topic if not given. Repeatable."`
	Expires time.Duration `placeholder:"TIME" help:"How long it is valid, such as 720h or 30d; for ever if not given."`
	Data    string        `placeholder:"DIR" help:"Make it in this data directory, while no gateway runs on it: the way to the first key of a gateway that others can reach. Only for the scope admin."`

	Client client `embed:""`
}

// newKeyRequest is the body that asks for a key.
type newKeyRequest struct {
	Name      string   `json:"name"`
	Scopes    []string `json:"scopes"`
	Topics    []string `json:"topics,omitempty"`
	ExpiresIn string   `json:"expires_in,omitempty"`
}

// Run prints the key as the API shows it.
func (c *createKeyCommand) Run(ctx context.Context, p *Process) error {
	if c.Expires < 0 || c.Expires > event.MaxKeyLifetime {
		return usageError{errors.New("--expires must be at most ten years")}
	}
	if c.Data != "" && c.Client.Tenant != "" && c.Client.Tenant != event.DefaultTenantName {
		return usageError{errors.New("--data makes keys of the default tenant only; make those of others with one of them, through the gateway")}
	}
	if c.Data != "" {
		return c.createOffline(ctx, p)
	}
	asked := newKeyRequest{Name: c.Name, Scopes: c.Scope, Topics: c.Topics}
	if c.Expires > 0 {
		asked.ExpiresIn = c.Expires.String()
	}
	body, err := json.Marshal(asked)
	if err != nil {
		return err
	}
	answer, err := c.Client.ask(ctx, http.MethodPost, []string{"v1", "keys"}, nil, body)
	if err != nil {
		return err
	}
	return printBody(p.Stdout, bytes.NewReader(answer))
}

// madeKey is a key that was made without the API, as it would show the same.
type madeKey struct {
	ID        event.ID      `json:"id"`
	Name      string        `json:"name"`
	Tenant    string        `json:"tenant"`
	Scopes    []event.Scope `json:"scopes"`
	CreatedAt time.Time     `json:"created_at"`
	ExpiresAt *time.Time    `json:"expires_at"`
	Key       string        `json:"key"`
}

// createOffline makes a key in the database. Whoever can write there could do anything: it is not asked for a key.
func (c *createKeyCommand) createOffline(ctx context.Context, p *Process) error {
	k := &event.Key{ID: event.NewID(), Tenant: event.DefaultTenant, Name: c.Name}
	for _, s := range c.Scope {
		k.Scopes = append(k.Scopes, event.Scope(s))
	}
	for _, t := range c.Topics {
		k.Patterns = append(k.Patterns, event.Pattern(t))
	}
	if bad := k.Validate(); len(bad) > 0 {
		return usageError{fmt.Errorf("%s: %s", bad[0].Field, bad[0].Detail)}
	}
	if !event.Allows(k.Scopes, event.ScopeAdmin) {
		return usageError{errors.New("--data makes keys of the scope admin only; make the others with that one, through the gateway")}
	}
	if c.Expires > 0 {
		k.ExpiresAt = time.Now().Add(c.Expires)
	}
	token := event.NewKeyToken()
	k.Hash = event.HashKey(token)
	if err := storeKey(ctx, c.Data, k); err != nil {
		return err
	}
	made := madeKey{ID: k.ID, Name: k.Name, Tenant: event.DefaultTenantName, Scopes: k.Scopes, CreatedAt: k.CreatedAt, Key: token.Reveal()}
	if !k.ExpiresAt.IsZero() {
		made.ExpiresAt = &k.ExpiresAt
	}
	return json.NewEncoder(p.Stdout).Encode(made)
}

// storeKey writes a key to the data in a directory, which is made if it is not there.
func storeKey(ctx context.Context, data string, k *event.Key) (err error) {
	if err := os.MkdirAll(data, 0o700); err != nil {
		return fmt.Errorf("making the data directory: %w", err)
	}
	engine, err := sqlite.Open(ctx, sqlite.Options{Path: filepath.Join(data, databaseFile), WithoutSecrets: true})
	if errors.Is(err, sqlite.ErrInUse) {
		return fmt.Errorf("%w; while a gateway runs there, make keys through it, without --data", err)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	storing, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var running errgroup.Group
	running.Go(func() error { return engine.Run(storing) })
	err = engine.CreateKey(store.WithOrigin(ctx, commandOrigin()), k)
	stop()
	return errors.Join(err, running.Wait())
}

// listKeysCommand prints the keys.
type listKeysCommand struct {
	Client client `embed:""`
}

// Run prints all pages.
func (c *listKeysCommand) Run(ctx context.Context, p *Process) error {
	return c.Client.printList(ctx, p.Stdout, []string{"v1", "keys"}, nil, 0)
}

// revokeKeyCommand ends a key.
type revokeKeyCommand struct {
	ID string `arg:"" help:"The key's id, as carillon keys list prints it. It is not the key itself."`

	Client client `embed:""`
}

// Run prints nothing where all went well.
func (c *revokeKeyCommand) Run(ctx context.Context, _ *Process) error {
	id, err := event.ParseID(c.ID)
	if err != nil {
		return usageError{fmt.Errorf("the id is %w; carillon keys list prints the ids", err)}
	}
	_, err = c.Client.ask(ctx, http.MethodDelete, []string{"v1", "keys", id.String()}, nil, nil)
	return err
}

// ask sends one request, whose body is JSON where there is one, and returns the answer's body.
func (c *client) ask(ctx context.Context, method string, path []string, query url.Values, body []byte) ([]byte, error) {
	base, err := c.base()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	target := base.JoinPath(path...) // #nosec G125 -- constants, and ids that were parsed
	target.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, target.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header = c.header()
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	to, err := c.http()
	if err != nil {
		return nil, err
	}
	resp, err := to.Do(req)
	if err != nil {
		return nil, err // an url.Error: it says what was asked of whom
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return nil, readRefusal(resp)
	}
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	return answer, nil
}
