// Package seal encrypts what must not be read from a disk: small values, each bound to the place where it is kept. It
// does no I/O.
//
// A [Keyring] holds the operator's keys. The first one seals, all of them open: that is how a key is replaced. What is
// sealed is told apart by a purpose, such as the secrets of webhooks: [Keyring.For] derives keys for it, so that a value
// which was sealed for one purpose cannot be opened for another.
//
// A sealed value is
//
//	1 byte    the version of this format: 1
//	8 bytes   the id of the key
//	12 bytes  a nonce, of chance
//	n bytes   the value, AES-256-GCM
//	16 bytes  the tag
//
// The tag covers the version, the id and the place too. A nonce of chance is good for 2^32 values under one key (NIST SP
// 800-38D, section 8.3), which no number of changed webhooks comes near.
package seal
