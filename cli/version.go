package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// versionCommand prints what this binary was built from.
type versionCommand struct{}

// Run prints it.
func (*versionCommand) Run(p *Process) error {
	version, commit := build()
	fmt.Fprintf(p.Stdout, "carillon %s\n", version)
	if commit != "" {
		fmt.Fprintf(p.Stdout, "commit   %s\n", commit)
	}
	_, err := fmt.Fprintf(p.Stdout, "built by %s for %s/%s\n", runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

// build returns the version, as in 1.2.3, and the commit that the binary was built from, as far as the Go toolchain
// stamped them: version is dev and commit empty where it did not.
func build() (version, commit string) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "dev", ""
	}
	version = strings.TrimPrefix(info.Main.Version, "v")
	if version == "" || version == "(devel)" {
		version = "dev"
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value + commit
		case s.Key == "vcs.modified" && s.Value == "true":
			commit += ", modified"
		}
	}
	return version, commit
}
