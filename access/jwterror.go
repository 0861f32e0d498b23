package access

import "errors"

// JWTError is why a JWT is not let in. Its text is told to whoever shows the token, as the end of a sentence that begins
// with the JWT; it holds nothing of the token.
type JWTError struct {
	// Reason is the metric's label: one of a few.
	Reason string
	text   string
}

// Error implements error.
func (e *JWTError) Error() string { return e.text }

var (
	errMalformed   = &JWTError{"malformed", "cannot be read: it is no signed token in the compact form, or one of its claims is of the wrong kind"}
	errJWTTooLarge = &JWTError{"too-large", "is larger than 8 KiB"}
	errAlgorithm   = &JWTError{"algorithm", "is signed by an algorithm that is not taken here, or not with its key"}
	errCritical    = &JWTError{"critical", "has a crit header, and nothing that such a one may ask for is known here"}
	errUnknownKey  = &JWTError{"unknown-key", "is signed with a key that is none of its issuer's"}
	errNoKeyID     = &JWTError{"unknown-key", "does not say by kid which of its issuer's keys it is signed with"}
	errSignature   = &JWTError{"signature", "has a signature that is wrong"}
	errJWTExpired  = &JWTError{"expired", "has expired"}
	errNoExpiry    = &JWTError{"lifetime", "has no exp: one that is valid for ever is not taken"}
	errLifetime    = &JWTError{"lifetime", "is valid for longer than is taken here"}
	errNotYet      = &JWTError{"not-yet", "is not valid yet: look at the clocks, here and at the issuer"}
	errIssuer      = &JWTError{"issuer", "is of another issuer (iss)"}
	errAudience    = &JWTError{"audience", "is for somebody else (aud)"}
	errTenant      = &JWTError{"tenant", "names a tenant that does not exist"}
)

// badClaim refuses a token for what its issuer wrote in it.
func badClaim(text string) *JWTError { return &JWTError{"claims", text} }

// ErrNoIssuerKeys says that it cannot be known now whether a JWT is good: the issuer's keys could not be fetched.
var ErrNoIssuerKeys = errors.New("the issuer's keys could not be fetched")

// reasons are all that [JWTError.Reason] can be, and what ErrNoIssuerKeys is counted as.
var reasons = []string{
	"malformed", "too-large", "algorithm", "critical", "unknown-key", "signature", "expired", "lifetime", "not-yet", "issuer",
	"audience", "claims", "tenant", noKeys,
}

const noKeys = "no-keys"
