package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"time"

	"github.com/alecthomas/kong"
)

// Exit codes of the process.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// Process is what a command sees of the world it runs in.
type Process struct {
	Args      []string // without the program's name
	Stdin     io.Reader
	Stdout    io.Writer
	Stderr    io.Writer
	LookupEnv func(name string) (value string, ok bool)
	Environ   []string // all of it, as NAME=value

	// OpenAPI is the text of openapi.yaml, which the gateway serves.
	OpenAPI []byte
}

// commands is the command line.
type commands struct {
	Serve   serveCommand   `cmd:"" help:"Run the gateway."`
	Publish publishCommand `cmd:"" help:"Post one event and print its receipt."`
	Tail    tailCommand    `cmd:"" help:"Print the events of topics as they are accepted."`
	Doctor  doctorCommand  `cmd:"" help:"Tell whether something between here and the gateway buffers, compresses or cuts streams."`
	Keys    keysCommand    `cmd:"" help:"Make, list and revoke the keys by which the gateway is used."`
	Tenants tenantsCommand `cmd:"" help:"Make, list, change and delete the tenants that share the gateway."`
	Secrets secretsCommand `cmd:"" help:"Tell and change how the secrets of webhooks are stored."`
	Audit   auditCommand   `cmd:"" help:"Print who changed what, newest first, one a line of JSON."`
	Version versionCommand `cmd:"" help:"Print the version."`
}

// usageError is a mistake in the command line or the configuration: trying again without changing them is useless.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// errTold ends a command as failed when the user has been told everything already.
var errTold = errors.New("failed")

// newParser returns the parser that fills in c. exit is called when help was printed.
func newParser(c *commands, p *Process, exit func(int)) *kong.Kong {
	settings := &settings{lookupEnv: p.LookupEnv}
	parser, err := kong.New(c,
		kong.Name("carillon"),
		kong.Description("An HTTP gateway for webhooks and event streams: POST an event once, and every webhook and every open stream gets it."),
		kong.Writers(p.Stdout, p.Stderr),
		kong.Exit(exit),
		kong.WithBeforeResolve(settings.load),
		kong.Resolvers(settings),
		kong.TypeMapper(reflect.TypeFor[time.Duration](), kong.MapperFunc(decodeDuration)),
		kong.PostBuild(wordPlainly),
		kong.ExplicitGroups(groups),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true, WrapUpperBound: 110}),
		kong.ValueFormatter(flagHelp),
	)
	if err != nil {
		panic(err) // the commands' structs are wrong, whatever the arguments
	}
	return parser
}

// Main runs one command until it is done or ctx ends, and returns the process's exit code.
func Main(ctx context.Context, p Process) int {
	helped := false
	// Help is printed in the middle of parsing, which then goes on and may find fault with what is missing.
	parser := newParser(&commands{}, &p, func(int) { helped = true })
	parsed, err := parser.Parse(p.Args)
	switch {
	case helped:
		return exitOK
	case len(p.Args) == 0:
		err = errors.New("which command?")
		fallthrough
	case err != nil:
		fmt.Fprintf(p.Stderr, "carillon: %v\nRun \"carillon --help\", or \"carillon <command> --help\", for what there is.\n", err)
		return exitUsage
	}

	parsed.BindTo(ctx, (*context.Context)(nil))
	err = parsed.Run(&p)
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errTold):
		return exitFailure
	case errors.As(err, &usage):
		fmt.Fprintf(p.Stderr, "carillon: %v\n", err)
		return exitUsage
	default:
		fmt.Fprintf(p.Stderr, "carillon: %v\n", err)
		return exitFailure
	}
}
