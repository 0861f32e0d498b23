package main

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/rogpeppe/go-internal/testscript"
)

// jwt sets a variable to a token that is signed with the secret in a file. The claims are given as JSON; when it was
// issued and when it ends is added.
func (s *story) jwt(ts *testscript.TestScript, args []string) error {
	if len(args) != 4 {
		return usage("jwt NAME SECRETFILE LIFETIME CLAIMS")
	}
	lifetime, err := time.ParseDuration(args[2])
	if err != nil {
		return err
	}
	// Of a token that has expired already the issue is older still.
	issued := time.Now()
	claims := jwt.MapClaims{"iat": min(issued.Unix(), issued.Add(lifetime).Unix()), "exp": issued.Add(lifetime).Unix()}
	if err := json.Unmarshal([]byte(args[3]), &claims); err != nil {
		return err
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(strings.TrimRight(ts.ReadFile(args[1]), "\n")))
	ts.Setenv(args[0], token)
	return err
}
