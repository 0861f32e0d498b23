//go:build !linux

package stream

import "runtime"

// giveWay lets other goroutines run. Other systems cut time slices by themselves, or have no such call.
func giveWay() { runtime.Gosched() }
