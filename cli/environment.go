package cli

import (
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

const (
	envPrefix   = "CARILLON_"
	adminKeyEnv = envPrefix + "ADMIN_KEY"
	// secretsKeyEnv holds the keys that secrets are stored under.
	secretsKeyEnv = envPrefix + "SECRETS_KEY"
)

// envName returns the environment variable of a flag.
func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// fromCluster matches what Kubernetes sets in every container beside a service whose name begins with carillon.
var fromCluster = regexp.MustCompile(`^CARILLON(_\w+)?(_SERVICE_(HOST|PORT(_\w+)?)=|_PORT_\d+_(TCP|UDP|SCTP)(_\w+)?=|_PORT=(tcp|udp|sctp)://)`)

// strayVariables returns the names of those variables in environ, whose entries are name=value, that look like settings
// and are none of any command. Their values are not told: a misspelt name can hold a key.
func strayVariables(app *kong.Application, environ []string) []string {
	known := []string{adminKeyEnv, secretsKeyEnv}
	for _, command := range app.Children {
		for _, flag := range command.Flags {
			if flag.Group != nil {
				known = append(known, envName(flag.Name))
			}
		}
	}
	var stray []string
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, envPrefix) && value != "" && !slices.Contains(known, name) && !fromCluster.MatchString(entry) {
			stray = append(stray, name)
		}
	}
	return stray
}
