package event

// Auth is how a webhook's requests say who they come from, beside the signature. The zero Auth is nothing.
type Auth struct {
	Type AuthType

	Username string // basic
	Password Secret // basic
	Token    Secret // bearer

	// OAuth 2.0 client credentials (RFC 6749, section 4.4).
	TokenURL     string
	ClientID     string
	ClientSecret Secret
	Scopes       []string
	// Params are sent to the token endpoint beside what the grant needs: audience, resource.
	Params map[string]string

	// A client's certificate for TLS, PEM: the chain, leaf first, and the leaf's key.
	Certificate string
	PrivateKey  Secret
	// CA, PEM, verifies the webhook's certificate in place of the system's roots; empty: the system's.
	CA string
}

// AuthType says which fields of an Auth count.
type AuthType string

// The kinds of Auth.
const (
	AuthNone   AuthType = ""
	AuthBasic  AuthType = "basic"
	AuthBearer AuthType = "bearer"
	AuthOAuth2 AuthType = "oauth2"
	AuthMTLS   AuthType = "mtls"
)
