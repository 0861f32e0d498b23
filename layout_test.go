package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/carillon/carillon"

// allowedImports says which of our packages each of our packages may import; docs/architecture.md has the picture.
// Tests may import more: they are not looked at.
var allowedImports = map[string][]string{
	"":                {"cli"},
	"cli":             {"access", "api", "dispatch", "event", "seal", "stats", "store", "store/sqlite", "stream", "transport", "web"},
	"api":             {"access", "cloudevent", "dispatch", "event", "filter", "sign", "stats", "store", "stream"},
	"dispatch":        {"cloudevent", "event", "filter", "sign", "store"},
	"stream":          {"cloudevent", "event", "filter", "store"},
	"access":          {"event"},
	"stats":           {"event"},
	"store":           {"event"},
	"seal":            nil,
	"store/sqlite":    {"event", "seal", "store"},
	"store/storetest": {"event", "store"},
	"cloudevent":      {"event"},
	"filter":          {"event"},
	"event":           nil,
	"sign":            nil,
	"web":             nil,
	"transport":       nil,
	"bench":           nil,

	"examples/receiver": nil,
}

func TestImportsStayWithinTheMap(t *testing.T) {
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
		from := strings.TrimPrefix(filepath.ToSlash(filepath.Dir(path)), ".")
		allowed, known := allowedImports[from]
		if !known {
			t.Errorf("package %q is not on the map", from)
			return nil
		}
		seen[from] = true
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			to, ours := strings.CutPrefix(imported, module+"/")
			if ours && !slices.Contains(allowed, to) {
				t.Errorf("%s imports %s; allowed are %v", path, to, allowed)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range allowedImports {
		if !seen[name] && name != "bench" {
			t.Errorf("package %q is on the map and not in the tree", name)
		}
	}
}
