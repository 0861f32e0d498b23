// Package filter evaluates what users write about events: CEL expressions that say whether an event is wanted, and jq
// expressions that make a request's body of it. Both are compiled once, when they are registered, and evaluated with
// bounds on time and size, since whoever writes them may be hostile.
//
// # Filters
//
// A [Filter] has CEL's standard library with its macros (has, all, exists, exists_one, map, filter), and lowerAscii,
// upperAscii and trim of a string. The other extensions are left out: replace, join and format of the strings' one can
// make a result far larger than what they are given in one call, and CEL counts a call's cost when it is over.
//
// The payload's whole numbers are ints up to 64 bits; fractions, exponents and larger ones are doubles, exact up to
// 2^53. Comparisons go across the types (data.amount > 100 holds for 100.5, == for 100.0); arithmetic does not:
// double(data.price) * 1.19 takes either. A field that is not there is an error, and so a filter-error of the delivery;
// has(data.field) asks first. && and || forgive the error of one side if the other one decides.
//
// Bounds: 4 KiB of source, 64 levels of nesting, 4000 nodes once macros are expanded; 200,000 units of cost, which are
// CEL's own but for what its model gets wrong about values whose type is known at run time only (see costs); 50,000
// values in one comparison of lists or maps; and of a regular expression (RE2) 1 KiB, 2000 instructions, 8 Unicode classes, and a million
// for instructions times bytes of text. On payloads of 1 MiB the worst that was found ended within 20 ms. An iteration
// over some 30,000 to 40,000 elements is what such a cost is enough for.
//
// # Transforms
//
// A [Transform] has the operators and builtins of jq 1.7 that are listed in guard.go: all that compute on values. Left
// out are modules, the environment, input, debug, stderr, halt, JOIN, and defining a builtin anew (a parameter $length may be called so). Whole numbers of any length keep their digits.
//
// gojq bounds neither work nor memory and can be interrupted between its instructions only. So a transform's syntax tree
// is rewritten: before whatever can do much in one instruction (operators, builtins, [], interpolation, indexes, updates,
// large functions) goes a function that weighs what it is about to do, and each instruction counts too. What is used up
// together is bounded (see maxWork), which does not depend on the machine; beside it runs a clock of 250 ms. The bounds:
// 16 KiB of source, 1 MiB of result, indexes to 2^20, strings times numbers to 2^20, regular expressions as above, matches
// again and again as often as the
// account allows: some 10,000 matches in 10 KiB, or 1000 in 64 KiB, since gojq counts the characters before each. A path
// is at most 10,000 long.
//
// What remains: the worst that was found took 0.25 s, most of it the collector's, and 160 MiB, of which some 100 were in
// use at once. No more transforms than processors run at a time in the process. Weights are estimates, so a builtin that
// was judged wrongly may exceed that by some factor. Expressions of 16 KiB that are all operators take 0.2 s to compile.
// A transform that lists every value of a payload ([..], walk, paths) has enough for some 100,000 of them.
//
// # Figures
//
// Of one core of a shared machine, with an event of 1 KB (bench_test.go):
//
//	parse of the payload               16 µs
//	Match of two comparisons           0.6 µs
//	Match with an iteration over 10    3.5 µs
//	Apply of an object of five fields  8 µs
//	compiling a filter                 75 µs, keeps 2 KB
//	compiling a transform              30 µs, keeps 7 KB
//	a hit in the cache                 12 ns, with nobody else at it
//
// Filters share one environment. 100,000 webhooks with filters of their own would keep 200 MB of programs, and far more
// if they are long ones; a [Cache] keeps the ones used last, and as
// many as may keep 64 KiB each on average: a transform of 16 KiB keeps up to 23 MiB.
package filter
