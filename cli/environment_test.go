package cli

import (
	"slices"
	"testing"
)

func TestStrayVariables(t *testing.T) {
	stray := []string{"CARILLON_LISTN=127.0.0.1:1", "CARILLON_ADMIN_KYE=secret", "CARILLON_PORT=9000", "CARILLON_WAIT=3s", "CARILLON_=x"}
	fine := []string{
		"CARILLON_LISTEN=127.0.0.1:1", "CARILLON_CORS_ORIGIN=*", "CARILLON_CONFIG=c.yaml", "CARILLON_URL=http://x", "CARILLON_KEY=k",
		"CARILLON_ADMIN_KEY=k", "CARILLON_ADMIN_KEY_FILE=f", "CARILLON_SECRETS_KEY=k", "CARILLON_SECRETS_KEY_FILE=f", "CARILLON_EMPTY=", "CARILLON=x", "PATH=/bin", "MY_CARILLON_LISTN=x",
		// A Kubernetes service that is named carillon, and one named carillon-demo.
		"CARILLON_SERVICE_HOST=10.0.0.1", "CARILLON_SERVICE_PORT=8080", "CARILLON_SERVICE_PORT_HTTP=8080", "CARILLON_PORT=tcp://10.0.0.1:8080",
		"CARILLON_PORT_8080_TCP=tcp://10.0.0.1:8080", "CARILLON_PORT_8080_TCP_ADDR=10.0.0.1", "CARILLON_DEMO_SERVICE_HOST=10.0.0.2",
		"CARILLON_DEMO_PORT=tcp://10.0.0.2:80", "CARILLON_DEMO_PORT_80_TCP_PROTO=tcp",
	}
	parser := newParser(&commands{}, &Process{}, func(int) {})
	got := strayVariables(parser.Model, append(fine, stray...))
	if want := []string{"CARILLON_LISTN", "CARILLON_ADMIN_KYE", "CARILLON_PORT", "CARILLON_WAIT", "CARILLON_"}; !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}
