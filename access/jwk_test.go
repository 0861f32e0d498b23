package access

import (
	"testing"
)

// Whatever the answer holds, what comes of it is bounded, and no key is one for both kinds of algorithms.
func FuzzJWKS(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"RSA","kid":"a","use":"sig","n":"AQAB","e":"AQAB"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","key_ops":["verify"]}]}`))
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"AAAA"},null,1,{}]}`))
	f.Add([]byte(`{"keys":null}`))
	f.Add([]byte(`{"Keys":[]}`))
	secret, public := Algorithms()
	f.Fuzz(func(t *testing.T, text []byte) {
		set, left, err := parseJWKS(text)
		if err != nil {
			return
		}
		if len(set.keys)+left > maxJWKs || !set.named {
			t.Errorf("%d keys, %d left out", len(set.keys), left)
		}
		for _, k := range set.keys {
			if checkKey(k.key) != nil || len(k.id) > maxKeyID {
				t.Errorf("a bad key was taken: %+v", k)
			}
			for _, alg := range secret {
				if k.fits(alg) {
					t.Errorf("a public key for %s", alg)
				}
			}
			for _, alg := range append(public, "none") {
				picked, refusal := set.pick(k.id, true, alg)
				if refusal == nil && (len(picked) == 0 || len(picked) > maxTries) {
					t.Errorf("%d keys for %s", len(picked), alg)
				}
			}
		}
		if !set.equal(set) {
			t.Error("it is not equal to itself")
		}
	})
}
