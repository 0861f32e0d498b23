package event

import (
	"fmt"
	"log/slog"
)

// Secret is a text that must not be read by accident: it prints, logs and marshals as ***. What it hides is given only
// by [Secret.Reveal], so that every place which shows it can be found by that name.
type Secret string

const hidden = "***"

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String implements [fmt.Stringer] and hides the secret.
func (Secret) String() string { return hidden }

// Format implements [fmt.Formatter] and hides the secret: a verb that is wrong for a string would print it otherwise.
func (Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, hidden) }

// MarshalText implements [encoding.TextMarshaler] and hides the secret.
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// LogValue implements [slog.LogValuer] and hides the secret.
func (Secret) LogValue() slog.Value { return slog.StringValue(hidden) }
