package api

import (
	"slices"

	"github.com/carillon/carillon/event"
)

// authMembers are the members that an auth of each type may have beside type.
var authMembers = map[event.AuthType][]string{
	event.AuthBasic:  {"username", "password"},
	event.AuthBearer: {"token"},
	event.AuthOAuth2: {"token_url", "client_id", "client_secret", "scopes", "params"},
	event.AuthMTLS:   {"certificate", "private_key", "ca"},
}

// authDocument is an auth as the API shows it: without its secrets. What does not belong to its type is left out.
type authDocument struct {
	Type        event.AuthType    `json:"type"`
	Username    string            `json:"username,omitempty"`
	TokenURL    string            `json:"token_url,omitempty"`
	ClientID    string            `json:"client_id,omitempty"`
	Scopes      []string          `json:"scopes,omitempty"`
	Params      map[string]string `json:"params,omitempty"`
	Certificate string            `json:"certificate,omitempty"`
	CA          string            `json:"ca,omitempty"`
}

func showAuth(a *event.Auth) *authDocument {
	if a.Type == event.AuthNone {
		return nil
	}
	return &authDocument{
		Type: a.Type, Username: a.Username, TokenURL: a.TokenURL, ClientID: a.ClientID, Scopes: a.Scopes, Params: a.Params,
		Certificate: a.Certificate, CA: a.CA,
	}
}

// setAuth replaces the auth whole: what is left of another one, secrets above all, must not go to whoever the new one is
// for. What its values must be like is left to [dispatch.CheckAuth].
func setAuth(w *event.Webhook, m member) []event.FieldError {
	if m.null() {
		w.Auth = event.Auth{}
		return nil
	}
	parts, err := parseObject(m.value)
	if err != nil {
		return []event.FieldError{{Field: m.name, Detail: err.Error()}}
	}
	var auth event.Auth
	var bad []event.FieldError
	wrong := func(name, detail string) {
		bad = append(bad, event.FieldError{Field: m.name + "." + name, Detail: detail})
	}
	at := slices.IndexFunc(parts, func(part member) bool { return part.name == "type" })
	if at < 0 {
		wrong("type", "is required: basic, bearer, oauth2 or mtls")
		return bad
	}
	// readValue says nothing of a type that is no text but that it is none of these.
	kind, _ := readValue[event.AuthType](parts[at], "")
	known := authMembers[kind]
	if known == nil {
		wrong("type", "must be basic, bearer, oauth2 or mtls")
		return bad
	}
	auth.Type = kind
	for _, part := range parts {
		switch {
		case part.name == "type":
		case !slices.Contains(known, part.name):
			wrong(part.name, "is no field of the type "+string(kind))
		case part.null():
		default:
			if err := setCredential(&auth, part); err != nil {
				wrong(err.Field, err.Detail)
			}
		}
	}
	w.Auth = auth
	return bad
}

// setCredential reads one member of an auth; there is none of another name.
func setCredential(a *event.Auth, m member) *event.FieldError {
	const text = "a text"
	switch m.name {
	case "username":
		return set(&a.Username, m, text)
	case "password":
		return setHidden(&a.Password, m)
	case "token":
		return setHidden(&a.Token, m)
	case "token_url":
		return set(&a.TokenURL, m, text)
	case "client_id":
		return set(&a.ClientID, m, text)
	case "client_secret":
		return setHidden(&a.ClientSecret, m)
	case "scopes":
		return setTexts(&a.Scopes, m)
	case "params":
		return setParams(&a.Params, m)
	case "certificate":
		return set(&a.Certificate, m, text)
	case "private_key":
		return setHidden(&a.PrivateKey, m)
	default:
		return set(&a.CA, m, text)
	}
}

// setHidden reads a credential. One that is sent as headers are shown was never shown: whoever sends it has taken an auth
// for something that can be sent back, and would lose the credential.
func setHidden(to *event.Secret, m member) *event.FieldError {
	text, err := readValue[string](m, "a text")
	switch {
	case err != nil:
		return err
	case text == hiddenValue:
		return &event.FieldError{Field: m.name, Detail: hiddenDetail}
	}
	*to = event.Secret(text)
	return nil
}

// setTexts reads a list of texts. A null among them would be read as an empty one.
func setTexts(to *[]string, m member) *event.FieldError {
	const want = "a list of texts"
	texts, err := readValue[[]*string](m, want)
	if err != nil {
		return err
	}
	*to = nil
	for _, text := range texts {
		if text == nil {
			return &event.FieldError{Field: m.name, Detail: "must be " + want}
		}
		*to = append(*to, *text)
	}
	return nil
}

func setParams(to *map[string]string, m member) *event.FieldError {
	entries, err := parseObject(m.value)
	if err != nil {
		return &event.FieldError{Field: m.name, Detail: err.Error()}
	}
	var params map[string]string
	for _, entry := range entries {
		value, bad := readValue[string](entry, "a text")
		if bad != nil {
			return &event.FieldError{Field: m.name + "." + entry.name, Detail: bad.Detail}
		}
		if params == nil {
			params = make(map[string]string, len(entries))
		}
		params[entry.name] = value
	}
	*to = params
	return nil
}
