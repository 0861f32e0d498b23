// Package access knows who may come in: the configuration's admin key, the stored keys, and the JWTs of the issuer that the
// configuration names, all in memory, so that letting somebody in reads nothing and writes nothing.
//
// An issuer's public keys are fetched and kept here, and not by keyfunc and jwkset, which do that too: they take a JWK Set
// of any size and with secret keys in it, drop all of it for one key that is malformed, follow no Cache-Control, let each
// request with an unknown key wait for its own turn to fetch, and leave a goroutine that nobody can wait for.
package access
