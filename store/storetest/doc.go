// Package storetest is the conformance suite of package store: what every engine must pass, whatever it is built on, and
// the benchmarks that engines share.
//
// [Run] checks the contract sentence by sentence, [RunModel] the ledger against a model with restarts between the steps,
// [RunOrder] who waits for whom against another, and [Benchmark] measures.
package storetest
