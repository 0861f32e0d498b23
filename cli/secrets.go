package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/carillon/carillon/seal"
	"github.com/carillon/carillon/store/sqlite"
)

// secretsCommand is about how secrets are stored.
type secretsCommand struct {
	NewKey newSecretsKeyCommand `cmd:"" help:"Print a new key to seal secrets with."`
	Status secretsStatusCommand `cmd:"" help:"Tell how the secrets of webhooks are stored, and under which keys."`
	Scrub  scrubCommand         `cmd:"" help:"Seal secrets and write the data anew, so that no copy from before is left in it."`
	Unseal unsealCommand        `cmd:"" help:"Store secrets in plain again, to run without a key."`
}

// secretsKeyFlag is the flag that names the keys.
type secretsKeyFlag struct {
	SecretsKeyFile string `group:"storage" placeholder:"FILE" help:"A file that holds the key which the secrets of webhooks are stored under: 32 bytes in base64 or hex, as carillon secrets new-key prints them. Of several, one a line, the first one seals and all open. CARILLON_SECRETS_KEY can hold them itself. Without a key secrets are stored in plain."`
}

// keyring reads the keys from CARILLON_SECRETS_KEY or the file; it is nil where there is neither.
func (c *secretsKeyFlag) keyring(p *Process) (*seal.Keyring, error) {
	text, _ := p.LookupEnv(secretsKeyEnv)
	from := secretsKeyEnv
	if c.SecretsKeyFile != "" {
		if text != "" {
			return nil, fmt.Errorf("%s and --secrets-key-file are both set; one of them is enough", secretsKeyEnv)
		}
		content, err := readSmall(c.SecretsKeyFile, seal.MaxKeyringBytes)
		if err != nil {
			return nil, fmt.Errorf("--secrets-key-file: %w", err)
		}
		text, from = string(content), "--secrets-key-file"
	} else if text == "" {
		return nil, nil
	}
	keyring, err := seal.ParseKeyring(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; carillon secrets new-key prints a key", from, err)
	}
	return keyring, nil
}

// explainSealed says what to do about data that cannot be opened because of its keys.
func explainSealed(err error, data string) error {
	switch {
	case errors.Is(err, sqlite.ErrSealed):
		return fmt.Errorf("%w.\nGive it with --secrets-key-file or %s. To run without one, store them in plain first:\n"+
			"  carillon secrets unseal --data %s --secrets-key-file FILE", err, secretsKeyEnv, data)
	case errors.Is(err, sqlite.ErrSecretsKey):
		return fmt.Errorf("%w.\nNothing was changed. Give that key too, on a line below the one that is to seal; it can go once everything is sealed anew.\n"+
			"Which keys are needed: carillon secrets status --data %s", err, data)
	}
	return err
}

// newSecretsKeyCommand prints a key.
type newSecretsKeyCommand struct{}

// Run prints it.
func (*newSecretsKeyCommand) Run(p *Process) error {
	_, err := fmt.Fprintln(p.Stdout, seal.NewKey())
	return err
}

// secretsStatusCommand tells how secrets are stored.
type secretsStatusCommand struct {
	Data string `default:"./carillon-data" placeholder:"DIR" help:"The gateway's data directory; a gateway may be running on it."`

	secretsKeyFlag `embed:""`
}

// sealingStatus is what it prints.
type sealingStatus struct {
	Plain  int         `json:"plain"`  // webhooks
	Keys   []keyStatus `json:"keys"`   // those that anything is sealed under, and those that were given
	Copies bool        `json:"copies"` // of secrets in plain may be left in the data
}

type keyStatus struct {
	ID       string `json:"id"`
	Webhooks int    `json:"webhooks"`
	Given    string `json:"given"` // "first": it seals; "yes"; "no"
}

// Run prints a line of JSON.
func (c *secretsStatusCommand) Run(ctx context.Context, p *Process) error {
	keyring, err := c.keyring(p)
	if err != nil {
		return usageError{err}
	}
	found, err := sqlite.ReadSealing(ctx, filepath.Join(c.Data, databaseFile))
	if errors.Is(err, fs.ErrNotExist) {
		return usageError{fmt.Errorf("there is no data in %s; --data names the gateway's directory", c.Data)}
	}
	if err != nil {
		return err
	}
	status := sealingStatus{Plain: found.Plain, Keys: []keyStatus{}, Copies: found.Copies}
	if keyring != nil {
		for i, id := range keyring.IDs() {
			given := "yes"
			if i == 0 {
				given = "first"
			}
			status.Keys = append(status.Keys, keyStatus{id.String(), found.Sealed[id], given})
			delete(found.Sealed, id)
		}
	}
	var others []keyStatus
	for id, n := range found.Sealed {
		others = append(others, keyStatus{id.String(), n, "no"})
	}
	slices.SortFunc(others, func(a, b keyStatus) int { return strings.Compare(a.ID, b.ID) })
	status.Keys = append(status.Keys, others...)
	return json.NewEncoder(p.Stdout).Encode(status)
}

// scrubCommand seals, and writes the data anew.
type scrubCommand struct {
	Data string `required:"" placeholder:"DIR" help:"The gateway's data directory, while no gateway runs on it. It needs room for as much again."`

	secretsKeyFlag `embed:""`
}

// Run prints nothing where all went well.
func (c *scrubCommand) Run(ctx context.Context, p *Process) error {
	return c.reseal(ctx, p, c.Data, sqlite.Options{Rewrite: true})
}

// unsealCommand stores secrets in plain.
type unsealCommand struct {
	Data string `required:"" placeholder:"DIR" help:"The gateway's data directory, while no gateway runs on it."`

	secretsKeyFlag `embed:""`
}

// Run prints nothing where all went well.
func (c *unsealCommand) Run(ctx context.Context, p *Process) error {
	return c.reseal(ctx, p, c.Data, sqlite.Options{Unseal: true})
}

// reseal opens the data, which does all that there is to do.
func (c *secretsKeyFlag) reseal(ctx context.Context, p *Process, data string, o sqlite.Options) error {
	keyring, err := c.keyring(p)
	if err != nil {
		return usageError{err}
	}
	if keyring == nil {
		return usageError{fmt.Errorf("it takes the key: --secrets-key-file or %s", secretsKeyEnv)}
	}
	o.Path, o.Secrets = filepath.Join(data, databaseFile), keyring
	if _, err := os.Stat(o.Path); errors.Is(err, fs.ErrNotExist) {
		return usageError{fmt.Errorf("there is no data in %s; --data names the gateway's directory", data)}
	}
	engine, err := sqlite.Open(ctx, o)
	if errors.Is(err, sqlite.ErrInUse) {
		return fmt.Errorf("%w; stop the gateway first", err)
	}
	if err != nil {
		return explainSealed(err, data)
	}
	return engine.Close()
}
