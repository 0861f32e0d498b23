package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	version     = 1
	headerBytes = 1 + len(KeyID{})
	nonceBytes  = 12
	tagBytes    = 16

	// Overhead is how much longer a sealed value is.
	Overhead = headerBytes + nonceBytes + tagBytes
)

// ErrKey is the error for a value that was sealed under a key which is not at hand.
var ErrKey = errors.New("sealed under another key")

// ErrBroken is the error for what is no sealed value, was changed, or was sealed for another place or purpose.
var ErrBroken = errors.New("not what was sealed here")

// Box seals and opens values of one purpose. It is never changed, and safe for concurrent use. It prints as the ids of
// its keys.
type Box struct {
	keyring *Keyring
	ciphers []cipher.AEAD // in the order of the keyring; with nonces of their own
}

// For makes the box of a purpose. The same purpose gives the same keys, for ever.
func (k *Keyring) For(purpose string) *Box {
	b := &Box{keyring: k, ciphers: make([]cipher.AEAD, len(k.keys))}
	for i := range k.keys {
		block, err := aes.NewCipher(k.keys[i].derive("for "+purpose, KeyBytes))
		if err == nil {
			b.ciphers[i], err = cipher.NewGCMWithRandomNonce(block)
		}
		if err != nil {
			panic(err) // the key has a length that it takes
		}
	}
	return b
}

// Seal encrypts a value under the first key, for a place: the same must be given to open it.
func (b *Box) Seal(value []byte, place ...[]byte) []byte {
	sealed := make([]byte, headerBytes, len(value)+Overhead)
	sealed[0] = version
	copy(sealed[1:], b.keyring.keys[0].id[:])
	return b.ciphers[0].Seal(sealed, nil, value, bound(sealed[:headerBytes], place)) // #nosec G407 -- the cipher makes its nonces
}

// Mix makes a secret of one that lies on the disk in plain and the first key: whoever has only the disk does not have it.
// It is another one under another first key. It has 32 bytes.
func (k *Keyring) Mix(purpose string, secret []byte) []byte {
	mac := hmac.New(sha256.New, k.keys[0].derive("mix "+purpose, sha256.Size))
	mac.Write(secret)
	return mac.Sum(nil)
}

// Open decrypts what was sealed for the place. Errors are [ErrKey] and [ErrBroken].
func (b *Box) Open(sealed []byte, place ...[]byte) ([]byte, error) {
	id, err := Key(sealed)
	if err != nil {
		return nil, err
	}
	at := b.keyring.index(id)
	if at < 0 {
		return nil, fmt.Errorf("%w: %s", ErrKey, id)
	}
	value, err := b.ciphers[at].Open(nil, nil, sealed[headerBytes:], bound(sealed[:headerBytes], place))
	if err != nil {
		return nil, ErrBroken
	}
	return value, nil
}

// Current reports whether a value was sealed under the key that seals now.
func (b *Box) Current(sealed []byte) bool {
	id, err := Key(sealed)
	return err == nil && id == b.keyring.keys[0].id
}

// Key returns the id of the key that a value was sealed under. The error is [ErrBroken].
func Key(sealed []byte) (KeyID, error) {
	if len(sealed) < Overhead || sealed[0] != version {
		return KeyID{}, ErrBroken
	}
	return KeyID(sealed[1:headerBytes]), nil
}

// bound is what the tag covers beside the value. Lengths keep two places apart whose parts run together to the same.
func bound(header []byte, place [][]byte) []byte {
	data := append([]byte(nil), header...)
	for _, part := range place {
		data = binary.BigEndian.AppendUint32(data, uint32(len(part))) // #nosec G115 -- a place is a few ids and words
		data = append(data, part...)
	}
	return data
}

// Format implements [fmt.Formatter] and hides the keys.
func (b *Box) Format(f fmt.State, verb rune) {
	if b == nil {
		_, _ = io.WriteString(f, "no keys")
		return
	}
	b.keyring.Format(f, verb)
}
