package cli

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/carillon/carillon/event"
)

// parseDuration is [event.ParseDuration] with an error that is meant for the one who wrote the text.
func parseDuration(text string) (time.Duration, error) {
	d, err := event.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q is no duration; 30s, 12h, 7d, 1.5d and 7d12h are", text)
	}
	return d, nil
}

// decodeDuration is how flags of type [time.Duration] are read.
func decodeDuration(ctx *kong.DecodeContext, target reflect.Value) error {
	token, err := ctx.Scan.PopValue("duration")
	if err != nil {
		return err
	}
	d, err := parseDuration(token.String())
	if err != nil {
		return err
	}
	target.SetInt(int64(d))
	return nil
}

// withoutDays writes a duration with days as one in hours, for a gateway that knows only the units of Go. Any other text
// stays as it is.
func withoutDays(since string) string {
	// A cursor can look like days: 000000000001d is one.
	if _, err := event.ParseCursor(since); err == nil || !strings.Contains(since, "d") {
		return since
	}
	d, err := parseDuration(since)
	if err != nil {
		return since
	}
	return d.String()
}
