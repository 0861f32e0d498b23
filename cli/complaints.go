package cli

import (
	stdlog "log"
	"log/slog"
	"strings"
)

// complaints is where the log of Go's own packages ends up. Package net/http writes there what a webhook has sent
// without being asked, which may be anything: the credentials that were sent to it as well. Only what stands before the
// first quotation mark is the package's own.
type complaints struct {
	log *slog.Logger
}

// hearComplaints sends that log to ours until stop is called. There is one for the whole process.
func hearComplaints(log *slog.Logger) (stop func()) {
	before, flags := stdlog.Writer(), stdlog.Flags()
	stdlog.SetOutput(complaints{log})
	stdlog.SetFlags(0)
	return func() {
		stdlog.SetOutput(before)
		stdlog.SetFlags(flags)
	}
}

// Write implements [io.Writer] for one line.
func (c complaints) Write(line []byte) (int, error) {
	text, _, cut := strings.Cut(string(line), `"`)
	text = strings.TrimSpace(text)
	if cut {
		text += " …"
	}
	c.log.Debug("a library complains", "about", text)
	return len(line), nil
}
