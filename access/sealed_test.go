package access

import (
	"encoding/base64"
	"testing"
	"time"

	"github.com/carillon/carillon/event"
)

// FuzzSealed reads what a seal is right for, which another version of the gateway may have written. What is let in is
// never more than the purpose allows, and always bound to patterns and to a time.
func FuzzSealed(f *testing.F) {
	k := &Keys{seals: newSeals("0123456789abcdef0123456789abcdef"), byID: map[event.ID]*entry{}}
	k.open.Store(true)
	for _, body := range []string{
		`{"v":1,"t":1,"k":"open","e":99999999999999,"p":["a.*"]}`, `{"v":1,"t":1,"k":"open","e":1,"p":["a.*"]}`,
		`{"v":2,"t":1,"k":"open","e":99999999999999,"p":["a.*"]}`, `{"v":1,"t":1,"k":"admin:x","e":99999999999999,"p":["a.*"]}`,
		`{"v":1,"t":1,"k":"open","e":99999999999999,"p":[]}`, `{"v":1,"t":1,"k":"open","e":99999999999999,"p":["a"]} {}`,
		`{"v":1,"t":1,"k":"","e":99999999999999,"p":["a"],"x":1}`, ``, `null`, `[]`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for purpose, prefix := range prefixes {
			token := prefix + base64.RawURLEncoding.EncodeToString(append(sum(k.seals[purpose], body), body...))
			who, err := k.FindToken(event.Secret(token), time.Now())
			if err != nil {
				continue
			}
			if who.Purpose != purpose || len(who.Patterns) == 0 || who.Expires.IsZero() || who.May(event.ScopeAdmin) ||
				who.May(event.ScopeSubscribe) || who.May(event.ScopePublish) {
				t.Errorf("%s lets in %+v", body, who)
			}
		}
	})
}
