package sqlite

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/seal"
)

// ErrSealed is returned by [Open] when secrets in the data are sealed and no keys were given.
var ErrSealed = errors.New("the secrets of webhooks in the data are sealed, and no key is given")

// ErrSecretsKey is returned by [Open] when secrets in the data are sealed under a key that is not among those given.
var ErrSecretsKey = errors.New("the secrets of webhooks in the data are sealed under a key that is not given")

// errBlind refuses to change webhooks whose secrets were not read: they would be lost.
var errBlind = errors.New("the data was opened without the secrets of webhooks, and webhooks cannot be changed")

// vault turns settings of webhooks into what their rows hold, and back.
type vault struct {
	box   *seal.Box // opens, and seals; nil: nothing is sealed
	plain bool      // it only opens
	blind bool      // what is sealed is not read, and nothing is written
}

// newVault makes the vault that o asks for. The purpose is part of what derives the keys: it never changes.
func newVault(o *Options) vault {
	v := vault{plain: o.Unseal, blind: o.WithoutSecrets}
	if o.Secrets != nil {
		v.box = o.Secrets.For("webhooks")
	}
	return v
}

// seals reports whether what is written is sealed.
func (v *vault) seals() bool { return v.box != nil && !v.plain && !v.blind }

// storedHook is the columns of a webhook's row that hold its settings.
type storedHook struct {
	secret string
	config []byte
	sealed []byte // nil: secret and config hold everything
}

// encode makes the columns.
func (v *vault) encode(w *event.Webhook) (storedHook, error) {
	if v.blind {
		return storedHook{}, errBlind
	}
	config := configOf(w)
	stored := storedHook{secret: w.Secret.Reveal()}
	var err error
	if v.seals() {
		var text []byte
		if text, err = json.Marshal(takeSecrets(&config, w)); err != nil { // #nosec G117 -- this is what is sealed
			return storedHook{}, err
		}
		stored.secret, stored.sealed = "", v.box.Seal(text, placeOf(w)...)
	}
	stored.config, err = json.Marshal(config)
	return stored, err
}

// decode fills in a webhook's settings. Its tenant and id must be set.
func (v *vault) decode(stored storedHook, w *event.Webhook) error {
	var config webhookConfig
	if err := json.Unmarshal(stored.config, &config); err != nil {
		return err
	}
	w.Secret = event.Secret(stored.secret)
	if stored.sealed != nil && !v.blind {
		if v.box == nil {
			return ErrSealed
		}
		text, err := v.box.Open(stored.sealed, placeOf(w)...)
		switch {
		case errors.Is(err, seal.ErrKey):
			id, _ := seal.Key(stored.sealed) // it was read just now
			return fmt.Errorf("%w: %s", ErrSecretsKey, id)
		case err != nil:
			return fmt.Errorf("opening its secrets: %w", err)
		}
		var secrets webhookSecrets
		if err := json.Unmarshal(text, &secrets); err != nil {
			return errors.New("its secrets were opened and cannot be read") // the decoder's error can repeat them
		}
		putSecrets(&config, w, &secrets)
	}
	fillIn(w, &config)
	return nil
}

// stale reports whether a row's columns are not what encode makes of the settings today.
func (v *vault) stale(stored storedHook) bool {
	switch {
	case v.blind || v.box == nil:
		return false
	case v.plain:
		return stored.sealed != nil
	default:
		return stored.sealed == nil || !v.box.Current(stored.sealed)
	}
}

// placeOf is what a webhook's sealed settings are bound to: in another row they cannot be opened. An older value of the
// same row can.
func placeOf(w *event.Webhook) [][]byte {
	return [][]byte{binary.BigEndian.AppendUint64(nil, uint64(w.Tenant)), w.ID[:], []byte("settings")}
}

// webhookSecrets is the part of a webhook's settings that is sealed: one text, so that no part of it can be put in
// another one's place. Which headers are credentials nobody can know from their names. URLs are sealed as well: those of
// many receivers are all that it takes to post there.
type webhookSecrets struct {
	Secret     string            `json:"secret"`
	OldSecrets []oldSecretConfig `json:"old_secrets,omitempty"`
	URL        string            `json:"url"`
	Headers    map[string]string `json:"headers,omitempty"`
	Auth       authConfig        `json:"auth,omitzero"`
}

// takeSecrets moves what is secret out of a webhook's config.
func takeSecrets(config *webhookConfig, w *event.Webhook) webhookSecrets {
	secrets := webhookSecrets{
		Secret: w.Secret.Reveal(), OldSecrets: config.OldSecrets, URL: config.URL, Headers: config.Headers, Auth: config.Auth,
	}
	config.OldSecrets, config.URL, config.Headers, config.Auth = nil, "", nil, authConfig{}
	return secrets
}

// putSecrets is the inverse of [takeSecrets].
func putSecrets(config *webhookConfig, w *event.Webhook, secrets *webhookSecrets) {
	w.Secret = event.Secret(secrets.Secret)
	config.OldSecrets, config.URL, config.Headers, config.Auth = secrets.OldSecrets, secrets.URL, secrets.Headers, secrets.Auth
}
