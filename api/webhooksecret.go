package api

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/sign"
)

// defaultOverlap is how long a secret that was replaced by a rotation goes on signing.
const defaultOverlap = 24 * time.Hour

func signingOf(w *event.Webhook) event.Signing { return cmp.Or(w.Signing, event.SigningHMAC) }

// newSecret makes a secret of the kind that a way of signing takes.
func newSecret(s event.Signing) event.Secret {
	if s == event.SigningEd25519 {
		return event.Secret(sign.NewSigningKey())
	}
	return event.Secret(sign.NewSecret())
}

// publicKey returns what receivers verify with, for a webhook that signs with a key pair.
func publicKey(w *event.Webhook) *string {
	key, err := sign.ParseSecret(w.Secret.Reveal())
	if err != nil {
		return nil
	}
	public, ok := key.Public()
	if !ok {
		return nil
	}
	return orNull(public.String())
}

// shownSecret is the secret as the one answer shows it that may: a text that both sides have to know, or nothing, since
// nobody else needs the private half of a key pair.
func shownSecret(w *event.Webhook) string {
	if signingOf(w) == event.SigningEd25519 {
		return ""
	}
	return w.Secret.Reveal()
}

// overlapsUntil tells how long each of the secrets that were replaced still signs.
func overlapsUntil(w *event.Webhook, now time.Time) []stamp {
	until := make([]stamp, 0, len(w.OldSecrets))
	for _, old := range w.OldSecrets {
		if old.Until.After(now) {
			until = append(until, stamp(old.Until))
		}
	}
	return until
}

// readSecret reads a secret of either kind.
func readSecret(m member) (event.Secret, *event.FieldError) {
	text, bad := readValue[string](m, "a text that begins with whsec_ or whsk_")
	if bad != nil {
		return "", bad
	}
	if _, err := sign.ParseSecret(text); err != nil {
		return "", &event.FieldError{Field: m.name, Detail: err.Error()}
	}
	return event.Secret(text), nil
}

func setSecret(w *event.Webhook, m member) *event.FieldError {
	secret, err := readSecret(m)
	if err == nil {
		w.Secret = secret
	}
	return err
}

// checkSecret says whether a secret, which can be read, is of the kind that the webhook signs with.
func checkSecret(secret event.Secret, s event.Signing) *event.FieldError {
	key, err := sign.ParseSecret(secret.Reveal())
	if err != nil {
		return nil // told already
	}
	_, pair := key.Public()
	switch {
	case pair && s == event.SigningHMAC:
		return &event.FieldError{Field: "secret", Detail: "must begin with whsec_ where signing is hmac"}
	case !pair && s == event.SigningEd25519:
		return &event.FieldError{Field: "secret", Detail: "must begin with whsk_ where signing is ed25519"}
	}
	return nil
}

// rotation is what somebody who rotates a secret may ask for.
type rotation struct {
	secret  event.Secret // empty: a new one is made
	overlap time.Duration
}

func readRotation(members []member) (rotation, []event.FieldError) {
	asked := rotation{overlap: defaultOverlap}
	var bad []event.FieldError
	for _, m := range members {
		var err *event.FieldError
		switch m.name {
		case "overlap":
			overlap := span(asked.overlap)
			if err = setOr(&overlap, m, span(defaultOverlap), `a duration such as "24h"`); err == nil &&
				(overlap < 0 || overlap > span(event.MaxOverlap)) {
				err = &event.FieldError{Field: m.name, Detail: fmt.Sprintf("is %s; 0s to %s are allowed", overlap, span(event.MaxOverlap))}
			}
			asked.overlap = overlap.kept()
		case "secret":
			asked.secret, err = readSecret(m)
		default:
			err = &event.FieldError{Field: m.name, Detail: "unknown field"}
		}
		if err != nil {
			bad = append(bad, *err)
		}
	}
	return asked, bad
}

// rotateSecret gives a webhook a new secret; the one that it has signs beside it until the overlap ends.
func (a *API) rotateSecret(w http.ResponseWriter, r *http.Request) *problem {
	hook, p := a.webhook(r)
	if p != nil {
		return p
	}
	members, p := a.readOptionalObject(w, r, "application/json")
	if p != nil {
		return p
	}
	asked, bad := readRotation(members)
	if len(bad) > 0 {
		return kindInvalid.in(bad...)
	}
	now := time.Now().Truncate(event.Precision)
	hook, p = a.change(r, hook.ID, func(old, w *event.Webhook) *problem {
		secret := asked.secret
		if secret == "" {
			secret = newSecret(signingOf(old))
		}
		if err := checkSecret(secret, signingOf(old)); err != nil {
			return kindInvalid.in(*err)
		}
		if secret == old.Secret {
			return kindInvalid.in(event.FieldError{Field: "secret", Detail: "is the secret that the webhook has"})
		}
		w.Secret, w.OldSecrets = secret, rotated(old, secret, now, asked.overlap)
		return nil
	})
	if p != nil {
		return p
	}
	writeSecret(w, http.StatusOK, hook)
	return nil
}

// rotated returns the secrets that sign beside a new one, the newest first. The oldest go where there are too many.
func rotated(w *event.Webhook, secret event.Secret, now time.Time, overlap time.Duration) []event.OldSecret {
	var olds []event.OldSecret
	if overlap > 0 {
		olds = append(olds, event.OldSecret{Secret: w.Secret, Until: now.Add(overlap)})
	}
	for _, old := range w.OldSecrets {
		// One that comes back signs by itself.
		if old.Until.After(now) && old.Secret != secret && old.Secret != w.Secret {
			olds = append(olds, old)
		}
	}
	return slices.Clip(olds[:min(len(olds), event.MaxOldSecrets)])
}
