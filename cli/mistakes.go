package cli

import (
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// plainMapper reads a flag's value with the mapper that kong chose for it, and words for users the mistakes that kong
// words for programmers.
type plainMapper struct {
	flag *kong.Flag
	next kong.Mapper
}

// Decode implements [kong.Mapper].
func (m plainMapper) Decode(ctx *kong.DecodeContext, target reflect.Value) error {
	if !ctx.Scan.Peek().IsValue() || ctx.Scan.Peek().IsEOL() {
		example := m.flag.PlaceHolder
		if m.flag.HasDefault {
			example = m.flag.Default
		}
		return fmt.Errorf("needs a value, as in --%s=%s", m.flag.Name, example)
	}
	if err := m.next.Decode(ctx, target); err != nil {
		return err
	}
	// kong would find this too, but later, when it is no longer known where the value stands.
	if m.flag.Enum != "" && !slices.Contains(m.flag.EnumSlice(), target.String()) {
		return notAmong(m.flag.EnumSlice(), target.String())
	}
	return nil
}

// wordPlainly puts a plainMapper before the mapper of every flag that takes a value.
func wordPlainly(k *kong.Kong) error {
	return kong.Visit(k.Model, func(node kong.Visitable, next kong.Next) error {
		if flag, ok := node.(*kong.Flag); ok && !flag.IsBool() {
			flag.Mapper = plainMapper{flag, flag.Mapper}
		}
		return next(nil)
	})
}

// notAmong is the error of a value that is none of at least two choices.
func notAmong(choices []string, value string) error {
	last := len(choices) - 1
	return fmt.Errorf("must be %s or %s, not %q", strings.Join(choices[:last], ", "), choices[last], value)
}

// logLevel is the least important level that is logged.
type logLevel slog.Level

// UnmarshalText implements [encoding.TextUnmarshaler]. Capitals are as good as small letters.
func (l *logLevel) UnmarshalText(text []byte) error {
	if (*slog.Level)(l).UnmarshalText(text) != nil {
		return notAmong([]string{"debug", "info", "warn", "error"}, string(text))
	}
	return nil
}
