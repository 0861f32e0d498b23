package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"

	"github.com/carillon/carillon/event"
)

// Principal is who a request comes from, as the door found.
type Principal struct {
	Tenant event.TenantID
}

// tenantOf returns the tenant whose things the request may see. It is zero, which is nobody's, for routes that anybody
// may use.
func tenantOf(r *http.Request) event.TenantID { return requestOf(r).principal.Tenant }

// key compares bearer tokens with the admin's key.
type key struct{ hash [sha256.Size]byte }

func newKey(secret event.Secret) key { return key{sha256.Sum256([]byte(secret.Reveal()))} }

// opens reports whether the request carries the key. Hashes are compared, so that the time taken tells neither how much
// of a guess was right nor how long the key is.
func (k key) opens(r *http.Request) bool {
	scheme, token, found := strings.Cut(r.Header.Get("Authorization"), " ")
	if !found || !strings.EqualFold(scheme, "Bearer") {
		return false
	}
	hash := sha256.Sum256([]byte(strings.TrimLeft(token, " ")))
	return subtle.ConstantTimeCompare(hash[:], k.hash[:]) == 1
}
