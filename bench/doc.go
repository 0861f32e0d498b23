// Package bench measures the whole gateway, each figure beside its floor in the same run: what the same work costs
// without a gateway. It has benchmarks only; README.md has the results, and the machine that they came from.
//
// Benchmarks of one part stand with the part: storage in store/storetest, frames in stream, the sender in dispatch.
package bench
