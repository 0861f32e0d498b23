// Package cli owns the command line: what each subcommand takes, where its settings come from, and, in serve.go, how the
// gateway is put together and taken down again.
//
// A setting has one name. It is a flag, an environment variable (CARILLON_ and the name in capitals, - as _) and, for
// serve, a key of a YAML file, and the first of these that is given holds.
//
// Durations may be written with days (7d, 7d12h) besides the units of Go.
//
// Exit codes: 0 when the work was done, 1 when it failed, 2 when the command line or the configuration is wrong.
//
// What the commands promise: publish sends a request once and never repeats it by itself; tail prints each event once
// and in log order over any number of reconnects, as long as the log still has it, and says so when it has not; doctor
// changes nothing, and exits with 1 too when it found something to mend; serve
// stops in order, so that nothing accepted is lost and no delivery is made twice, unless its drain time runs out.
package cli
