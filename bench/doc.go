// Package bench measures the whole gateway, each figure beside its floor in the same run: what the same work costs
// without a gateway. It has benchmarks only; README.md has the results, and the machine that they came from.
//
// Those that need a process of its own (memory, processor time, restarts) start the real binary and are small, to show
// that they still work, unless CARILLON_BENCH is "full". They need Linux, whose /proc they read.
//
// Benchmarks of one part stand with the part: storage in store/storetest, frames in stream, the sender in dispatch.
package bench
