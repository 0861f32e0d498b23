package event

import (
	"crypto/rand"
	"hash/crc32"
	"strings"
)

// A key's token is crn_, random characters, and a checksum by which one that was cut off or mistyped is known as such, and
// one that was leaked can be found by those who look for such things. Letters and digits are all that is in it: a double
// click takes the whole of it.
const (
	tokenPrefix   = "crn_"
	tokenAlphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	tokenRandom   = 43 // characters, of log2(62) bits each: 256 bits
	tokenChecksum = 6  // characters, enough for 32 bits
)

// NewKeyToken makes the token of a new key.
func NewKeyToken() Secret {
	var b strings.Builder
	b.WriteString(tokenPrefix)
	// The bytes below this are a whole number of alphabets: were the others taken too, some characters would be likelier.
	const fair = 256 - 256%len(tokenAlphabet)
	var chance [64]byte
	for made := 0; made < tokenRandom; {
		_, _ = rand.Read(chance[:]) // it never fails: crypto/rand ends the process rather than that
		for _, c := range chance {
			if int(c) < fair && made < tokenRandom {
				b.WriteByte(tokenAlphabet[int(c)%len(tokenAlphabet)])
				made++
			}
		}
	}
	return Secret(b.String() + tokenSum(b.String()))
}

// WholeToken reports whether a text has the form of a key's token, and its checksum is right.
func WholeToken(token Secret) bool {
	text := token.Reveal()
	if !LikeToken(token) || len(text) != len(tokenPrefix)+tokenRandom+tokenChecksum {
		return false
	}
	end := len(text) - tokenChecksum
	return tokenSum(text[:end]) == text[end:]
}

// LikeToken reports whether a text begins as a key's token does.
func LikeToken(token Secret) bool { return strings.HasPrefix(token.Reveal(), tokenPrefix) }

func tokenSum(text string) string {
	sum := crc32.ChecksumIEEE([]byte(text))
	var digits [tokenChecksum]byte
	for i := len(digits) - 1; i >= 0; i-- {
		digits[i] = tokenAlphabet[sum%uint32(len(tokenAlphabet))]
		sum /= uint32(len(tokenAlphabet))
	}
	return string(digits[:])
}
