package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"
	"gopkg.in/yaml.v3"
)

// groups orders the flags in a command's help.
var groups = []kong.Group{
	{Key: "network", Title: "Network:"},
	{Key: "storage", Title: "Storage:"},
	{Key: "access", Title: "Access:"},
	{Key: "log", Title: "Log:"},
	{Key: "gateway", Title: "Gateway:"},
}

// settings gives kong the values of flags that the command line leaves out. It looks in the environment and then in the
// file named by --config or CARILLON_CONFIG. kong's own env tags are not used: in kong a configuration file beats them.
//
// Only flags that are in a group are settings. The others belong to one call, such as publish's --idempotency-key, and
// would do harm when they are left standing in an environment.
type settings struct {
	lookupEnv func(string) (string, bool)

	path string // of the file that is loaded; empty: none yet
	file map[string]fileValue
}

// fileValue is one setting of a configuration file.
type fileValue struct {
	text string // as a flag would take it; a list is joined by commas
	line int
}

// Validate implements [kong.Resolver].
func (*settings) Validate(*kong.Application) error { return nil }

// Resolve implements [kong.Resolver].
func (s *settings) Resolve(ctx *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if flag.Group == nil {
		return nil, nil
	}
	text, from, ok := s.find(flag.Name)
	if !ok {
		return nil, nil
	}
	// kong parses what is returned once more, but its error would not tell where the value stands.
	scratch := reflect.New(flag.Target.Type()).Elem()
	if err := flag.Mapper.Decode(&kong.DecodeContext{Value: flag.Value, Scan: kong.Scan().PushTyped(text, kong.FlagValueToken)}, scratch); err != nil {
		return nil, fmt.Errorf("%w (from %s)", err, from)
	}
	return text, nil
}

// find looks a flag's value up by order of strength. A variable that is set to nothing counts as not set: that is what
// an empty line in an env file or a compose file means.
func (s *settings) find(flag string) (text, from string, ok bool) {
	if v, _ := s.lookupEnv(envName(flag)); v != "" {
		return v, envName(flag), true
	}
	if v, ok := s.file[flag]; ok {
		return v.text, fmt.Sprintf("%s, line %d", s.path, v.line), true
	}
	return "", "", false
}

// load reads the configuration file, if the command takes one and one is named. It has to come before kong resolves
// flags: the error of a resolver is told as that of the flag at hand.
func (s *settings) load(ctx *kong.Context) error {
	if s.path != "" || ctx.Selected() == nil {
		return nil
	}
	var known []string
	path := ""
	for _, flag := range ctx.Selected().Flags {
		if flag.Name != "config" {
			known = append(known, flag.Name)
			continue
		}
		path, _ = ctx.FlagValue(flag).(string)
		if path == "" {
			path, _ = s.lookupEnv(envName("config"))
		}
	}
	if path == "" {
		return nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("cannot read the configuration: %w", err)
	}
	s.path = path
	if s.file, err = parseConfig(bytes.NewReader(text), known); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// parseConfig reads a YAML mapping from flags' names to their values. A key that is not among known is an error that
// names it and its line.
func parseConfig(r io.Reader, known []string) (map[string]fileValue, error) {
	decoder := yaml.NewDecoder(r)
	var doc, second yaml.Node
	if err := decoder.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one YAML document")
	}
	root := doc.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return nil, nil
	}
	if root.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("line %d: must be a mapping, such as\n  listen: 127.0.0.1:8080", root.Line)
	}
	values := make(map[string]fileValue)
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		if !slices.Contains(known, key.Value) {
			return nil, fmt.Errorf("line %d: unknown key %q; the keys are the flags of carillon serve, without the dashes", key.Line, key.Value)
		}
		if _, twice := values[key.Value]; twice {
			return nil, fmt.Errorf("line %d: key %q is there twice", key.Line, key.Value)
		}
		text, ok := flagText(value)
		if !ok {
			return nil, fmt.Errorf("line %d: key %q must be a single value or a list of them", value.Line, key.Value)
		}
		values[key.Value] = fileValue{text, key.Line}
	}
	return values, nil
}

// flagText writes a YAML value the way that a flag takes it.
func flagText(n *yaml.Node) (string, bool) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch n.Kind {
	case yaml.ScalarNode:
		return n.Value, n.Tag != "!!null"
	case yaml.SequenceNode:
		var parts []string
		for _, item := range n.Content {
			if item.Kind != yaml.ScalarNode || item.Tag == "!!null" {
				return "", false
			}
			parts = append(parts, item.Value)
		}
		return kong.JoinEscaped(parts, ','), true
	default:
		return "", false
	}
}

// flagHelp adds to a flag's help its default and the environment variable that sets it too.
func flagHelp(v *kong.Value) string {
	var more []string
	if v.HasDefault {
		more = append(more, "default "+v.Default)
	}
	if v.Flag != nil && v.Flag.Group != nil {
		more = append(more, envName(v.Name))
	}
	if more == nil {
		return v.Help
	}
	return v.Help + " [" + strings.Join(more, ", ") + "]"
}

// byteSize is a number of bytes, written as a plain number or with KiB, MiB, GiB or TiB.
type byteSize int64

// UnmarshalText implements [encoding.TextUnmarshaler].
func (b *byteSize) UnmarshalText(text []byte) error {
	number, factor := string(text), int64(1)
	for i, unit := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if rest, ok := strings.CutSuffix(number, unit); ok {
			number, factor = strings.TrimSuffix(rest, " "), 1<<(10*(i+1))
			break
		}
	}
	// ParseInt alone would take a sign.
	n, err := strconv.ParseUint(number, 10, 63)
	if err != nil || int64(n) > math.MaxInt64/factor {
		return fmt.Errorf("%q is no size: a number of bytes, or one with KiB, MiB, GiB or TiB, is", text)
	}
	*b = byteSize(int64(n) * factor)
	return nil
}
