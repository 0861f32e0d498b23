package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// whoDials names each file that opens connections or makes what does, and why it may. Whatever the gateway sends on somebody's
// behalf goes by the address guard of package dispatch; a file that is not here and has to dial belongs behind it.
var whoDials = map[string]string{
	"dispatch/guard.go":  "the guard itself",
	"dispatch/send.go":   "makes the transport, whose dialler is the guard's",
	"dispatch/oauth2.go": "its client has the sender's transport, and follows no redirect",
	"dispatch/mtls.go":   "keeps transports that send.go made",
	"dispatch/auth.go":   "hands out the sender's transports",
	"access/jwks.go":     "asks the issuer of the operator's configuration for its keys",
	"transport/acme.go":  "asks the authority of the operator's configuration for certificates",
	"cli/cafile.go":      "the client of the operator's commands, which asks the gateway that they were told of",
	"cli/tail.go":        "likewise",
	"cli/doctor.go":      "likewise",
}

// dialling are the names by which the standard library opens connections to where it is told.
var dialling = map[string][]string{
	"net":               {"Dial", "DialTimeout", "DialTCP", "DialUDP", "DialIP", "DialUnix", "Dialer"},
	"crypto/tls":        {"Dial", "DialWithDialer", "Dialer"},
	"net/http":          {"Get", "Head", "Post", "PostForm", "Client", "DefaultClient", "Transport", "DefaultTransport"},
	"net/http/httputil": {"ReverseProxy", "NewSingleHostReverseProxy"},
	"net/smtp":          {"Dial", "SendMail"},
	"net/rpc":           {"Dial", "DialHTTP", "DialHTTPPath"},
	"log/syslog":        {"Dial"},
}

func TestOnlyTheGuardDials(t *testing.T) {
	seen := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (strings.HasPrefix(entry.Name(), ".") && path != "." || entry.Name() == "testdata" || entry.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		imported := map[string][]string{} // by the name that the file has for a package
		for _, spec := range file.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			local := name[strings.LastIndex(name, "/")+1:]
			if spec.Name != nil {
				local = spec.Name.Name
			}
			if names := dialling[name]; names != nil {
				if local == "." {
					t.Errorf("%s imports %s without a name", path, name)
				}
				imported[local] = names
			}
		}
		path = filepath.ToSlash(path)
		ast.Inspect(file, func(n ast.Node) bool {
			selector, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			from, ok := selector.X.(*ast.Ident)
			if !ok {
				return true
			}
			for _, name := range imported[from.Name] {
				if selector.Sel.Name != name {
					continue
				}
				seen[path] = true
				if whoDials[path] == "" {
					t.Errorf("%s: %s.%s can connect to anywhere; see whoDials", set.Position(selector.Pos()), from.Name, name)
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for path := range whoDials {
		if !seen[path] {
			t.Errorf("%s dials nothing", path)
		}
	}
}
