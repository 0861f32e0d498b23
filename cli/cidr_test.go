package cli

import "testing"

func TestMappedRanges(t *testing.T) {
	for text, want := range map[string]string{
		"::ffff:10.20.0.0/112": "10.20.0.0/16",
		"::ffff:10.0.0.1/128":  "10.0.0.1/32",
		"::ffff:0:0/96":        "0.0.0.0/0",
		"10.20.0.0/16":         "10.20.0.0/16",
		"fd00::/8":             "fd00::/8",
		"::/0":                 "::/0",
	} {
		var c cidr
		if err := c.UnmarshalText([]byte(text)); err != nil || c.String() != want {
			t.Errorf("%s is read as %s, %v", text, c, err)
		}
	}
}
