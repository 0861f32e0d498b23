package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
)

// freeAddress finds a port for a gateway that will be started on it more than once. It lies below those that systems
// give to outgoing connections: one of these, of another test, would take it while the gateway is down.
func freeAddress() (string, error) {
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(10000))
		if l, err := net.Listen("tcp", address); err == nil {
			return address, l.Close()
		}
	}
	return "", errors.New("no free port between 20000 and 30000")
}
