package sqlite

import (
	"maps"
	"slices"
	"time"

	"github.com/carillon/carillon/event"
)

// webhookConfig is the part of a webhook's settings that is never searched for. Its secrets are plain texts: the type
// that hides them would be stored as ***. It is never logged. Where there is a key, [webhookSecrets] are kept apart from it.
type webhookConfig struct {
	URL         string            `json:"url"`
	Topics      []event.Pattern   `json:"topics"`
	Retry       []time.Duration   `json:"retry"` // nanoseconds
	Timeout     time.Duration     `json:"timeout"`
	MaxInFlight int               `json:"max_in_flight"`
	Description string            `json:"description,omitempty"`
	Metadata    map[string]string `json:"metadata,omitempty"`

	Filter     string            `json:"filter,omitempty"`
	Transform  string            `json:"transform,omitempty"`
	Format     event.Format      `json:"format,omitempty"`
	Headers    map[string]string `json:"headers,omitempty"`
	Auth       authConfig        `json:"auth,omitzero"`
	Signing    event.Signing     `json:"signing,omitempty"`
	PerSecond  float64           `json:"per_second,omitempty"`
	Burst      int               `json:"burst,omitempty"`
	Order      event.Order       `json:"order,omitempty"` // SQL reads it too: see matchedEvent.unrecorded
	Handshake  bool              `json:"handshake,omitempty"`
	OldSecrets []oldSecretConfig `json:"old_secrets,omitempty"`
}

type authConfig struct {
	Type         event.AuthType    `json:"type,omitempty"`
	Username     string            `json:"username,omitempty"`
	Password     string            `json:"password,omitempty"`
	Token        string            `json:"token,omitempty"`
	TokenURL     string            `json:"token_url,omitempty"`
	ClientID     string            `json:"client_id,omitempty"`
	ClientSecret string            `json:"client_secret,omitempty"`
	Scopes       []string          `json:"scopes,omitempty"`
	Params       map[string]string `json:"params,omitempty"`
	Certificate  string            `json:"certificate,omitempty"`
	PrivateKey   string            `json:"private_key,omitempty"`
	CA           string            `json:"ca,omitempty"`
}

type oldSecretConfig struct {
	Secret string `json:"secret"`
	Until  int64  `json:"until"` // milliseconds
}

// configOf copies a webhook's settings. What it points to is shared.
func configOf(w *event.Webhook) webhookConfig {
	config := webhookConfig{
		URL: w.URL, Topics: w.Topics, Retry: w.Retry, Timeout: w.Timeout,
		MaxInFlight: w.MaxInFlight, Description: w.Description, Metadata: w.Metadata,
		Filter: w.Filter, Transform: w.Transform, Format: w.Format, Signing: w.Signing,
		PerSecond: w.RateLimit.PerSecond, Burst: w.RateLimit.Burst, Order: w.Order, Handshake: w.Handshake,
	}
	if len(w.Headers) > 0 {
		config.Headers = make(map[string]string, len(w.Headers))
		for name, value := range w.Headers {
			config.Headers[name] = value.Reveal()
		}
	}
	a := &w.Auth
	config.Auth = authConfig{
		Type: a.Type, Username: a.Username, Password: a.Password.Reveal(), Token: a.Token.Reveal(),
		TokenURL: a.TokenURL, ClientID: a.ClientID, ClientSecret: a.ClientSecret.Reveal(), Scopes: a.Scopes, Params: a.Params,
		Certificate: a.Certificate, PrivateKey: a.PrivateKey.Reveal(), CA: a.CA,
	}
	for _, old := range w.OldSecrets {
		config.OldSecrets = append(config.OldSecrets, oldSecretConfig{old.Secret.Reveal(), fromTime(old.Until)})
	}
	return config
}

// fillIn is the inverse of [configOf].
func fillIn(w *event.Webhook, config *webhookConfig) {
	w.URL, w.Topics, w.Retry, w.Timeout = config.URL, config.Topics, config.Retry, config.Timeout
	w.MaxInFlight, w.Description, w.Metadata = config.MaxInFlight, config.Description, config.Metadata
	w.Filter, w.Transform, w.Format = config.Filter, config.Transform, config.Format
	w.Signing, w.Order, w.Handshake = config.Signing, config.Order, config.Handshake
	w.RateLimit = event.RateLimit{PerSecond: config.PerSecond, Burst: config.Burst}
	if len(config.Headers) > 0 {
		w.Headers = make(map[string]event.Secret, len(config.Headers))
		for name, value := range config.Headers {
			w.Headers[name] = event.Secret(value)
		}
	}
	a := &config.Auth
	w.Auth = event.Auth{
		Type: a.Type, Username: a.Username, Password: event.Secret(a.Password), Token: event.Secret(a.Token),
		TokenURL: a.TokenURL, ClientID: a.ClientID, ClientSecret: event.Secret(a.ClientSecret), Scopes: a.Scopes, Params: a.Params,
		Certificate: a.Certificate, PrivateKey: event.Secret(a.PrivateKey), CA: a.CA,
	}
	for _, old := range config.OldSecrets {
		w.OldSecrets = append(w.OldSecrets, event.OldSecret{Secret: event.Secret(old.Secret), Until: toTime(old.Until)})
	}
}

// cloneWebhook copies a webhook with all that it points to.
func cloneWebhook(w *event.Webhook) *event.Webhook {
	c := *w
	c.Topics = slices.Clone(w.Topics)
	c.Retry = slices.Clone(w.Retry)
	c.Metadata = maps.Clone(w.Metadata)
	c.Headers = maps.Clone(w.Headers)
	c.Auth.Scopes = slices.Clone(w.Auth.Scopes)
	c.Auth.Params = maps.Clone(w.Auth.Params)
	c.OldSecrets = slices.Clone(w.OldSecrets)
	return &c
}

// forgetSecrets takes away what a deleted webhook signed and was let in with. Headers can hold keys too.
func forgetSecrets(w *event.Webhook) {
	w.Secret, w.OldSecrets, w.Auth, w.Headers = "", nil, event.Auth{}, nil
}
