//go:build !linux

package bench

import "runtime"

func giveWay() { runtime.Gosched() }
