package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// TestStreamsAreReadByTheNPMPackage has the eventsource package of npm follow a stream of the real binary, as the
// clients of Go do. It is skipped where node or the package is missing, unless CARILLON_REQUIRE_NPM is 1.
func TestStreamsAreReadByTheNPMPackage(t *testing.T) {
	requireNPM(t, "eventsource")
	t.Parallel()
	followOverCrashes(t, map[string]client{"eventsource of npm": npmEventSource})
}

// npmEventSource resumes by itself, after the time that the gateway asks for, and drops half an event. It takes an id
// only from an event: a connection that breaks before the first one is made again as if there had been none.
func npmEventSource(ctx context.Context, url string, got *tally) error {
	cmd := exec.CommandContext(ctx, "node", "follow.mjs", url)
	var said strings.Builder
	cmd.Dir, cmd.Stderr = npmDirectory, &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	for lines := json.NewDecoder(out); err == nil; {
		var h heard
		if err = lines.Decode(&h); err == nil {
			got.hear(h)
		}
	}
	ended := cmd.Wait()
	if ctx.Err() != nil {
		return nil // it was ended
	}
	return fmt.Errorf("reading what node says: %w; it ended with %v\n%s", err, ended, &said)
}
