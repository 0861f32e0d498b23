package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Each test by which docs/security.md shows something exists: a function, or a story of TestStories.
func TestSecurityPageNamesTestsThatExist(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("docs", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`([a-z./]+)/((?:Test|Fuzz)[A-Za-z0-9]+)(?:/([a-z_]+))?`")
	functions := map[string]map[string]bool{} // by the package's directory
	rows := 0
	for line := range strings.Lines(string(page)) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| threat |") || strings.HasPrefix(line, "| --- |") {
			continue
		}
		rows++
		tests := named.FindAllStringSubmatch(line, -1)
		if len(tests) == 0 {
			t.Errorf("no test shows this: %s", line)
		}
		// What is quoted in the last cell is a test, or a slip in the name of one.
		cells := strings.Split(strings.Trim(line, "| \n"), " | ")
		if quoted := strings.Count(cells[len(cells)-1], "`") / 2; len(cells) != 3 || quoted != len(tests) {
			t.Errorf("%d cells, and %d of %d names of tests can be read: %s", len(cells), len(tests), quoted, line)
		}
		for _, test := range tests {
			dir, name, story := test[1], test[2], test[3]
			if functions[dir] == nil {
				functions[dir] = testFunctions(t, dir)
			}
			if !functions[dir][name] {
				t.Errorf("there is no %s in %s", name, dir)
			}
			if story == "" {
				continue
			}
			if _, err := os.Stat(filepath.Join("testdata", "script", story+".txtar")); name != "TestStories" || err != nil {
				t.Errorf("there is no story %s of %s: %v", story, name, err)
			}
		}
	}
	if rows == 0 {
		t.Error("the page has no rows")
	}
}

// testFunctions returns the names of a directory's tests.
func testFunctions(t *testing.T, dir string) map[string]bool {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(filepath.FromSlash(dir), "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, path := range paths {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, declared := range file.Decls {
			if f, ok := declared.(*ast.FuncDecl); ok && f.Recv == nil {
				names[f.Name.Name] = true
			}
		}
	}
	return names
}
