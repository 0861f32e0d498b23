package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/carillon/carillon/seal"
)

func TestSecretsKeys(t *testing.T) {
	one, two := seal.NewKey(), seal.NewKey()
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "keys")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, tt := range []struct {
		name, env, file string
		keys            int
		wrong           string
	}{
		{"none", "", "", 0, ""},
		{"environment", one + "," + two, "", 2, ""},
		{"file", "", file(one + "\n" + two + "\n"), 2, ""},
		{"both", one, file(two), 0, "both set"},
		{"short", one[:40], "", 0, "CARILLON_SECRETS_KEY: key 1 is not 32 bytes"},
		{"empty file", "", file("\n"), 0, "--secrets-key-file: there is no key"},
		{"long file", "", file(strings.Repeat("#", seal.MaxKeyringBytes+1)), 0, "--secrets-key-file: there are more than"},
		{"no file", "", filepath.Join(t.TempDir(), "missing"), 0, "--secrets-key-file"},
	} {
		c := secretsKeyFlag{SecretsKeyFile: tt.file}
		k, err := c.keyring(&Process{LookupEnv: lookup(map[string]string{"CARILLON_SECRETS_KEY": tt.env})})
		switch {
		case tt.wrong != "":
			if err == nil || !strings.Contains(err.Error(), tt.wrong) {
				t.Errorf("%s: %v", tt.name, err)
			} else if tt.env != "" && strings.Contains(err.Error(), tt.env) {
				t.Errorf("%s: the key is shown: %v", tt.name, err)
			}
		case err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case tt.keys == 0 && k != nil, tt.keys > 0 && (k == nil || len(k.IDs()) != tt.keys):
			t.Errorf("%s: %v", tt.name, k)
		}
	}
}
