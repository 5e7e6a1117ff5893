package api

import "github.com/countersign/countersign/internal/fault"

// largeAtOnce is how many requests with a large body an instance works on at once: each may take megabytes and seconds.
const largeAtOnce = 2

// gate lets a number of requests through at once. Nobody waits at it.
type gate chan struct{}

// enter returns how to leave, or fault.Unavailable if there is no room.
func (g gate) enter() (leave func(), err error) {
	select {
	case g <- struct{}{}:
		return func() { <-g }, nil
	default:
		return nil, fault.New(fault.Unavailable, "other large requests are being worked on; send it again in a moment")
	}
}
