//go:build race

package main

// raced says that the race detector is at work: it takes several times the memory.
const raced = true
