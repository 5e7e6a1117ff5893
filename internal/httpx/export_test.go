package httpx

import (
	"log/slog"
	"net"
)

// Guard guards a connection as Serve does.
func Guard(conn net.Conn) net.Conn {
	return &guarded{Conn: conn, log: slog.New(slog.DiscardHandler)}
}

// Bounds returns the offsets in stream at which requests end in the eyes of the guard, until it refuses the stream or stops looking.
func Bounds(stream []byte) (ends []int, looking bool) {
	var f framing
	for at := range stream {
		if n, err := f.scan(stream[at : at+1]); n == 0 || err != nil || f.at == beyond {
			return ends, false
		}
		if f == (framing{}) {
			ends = append(ends, at+1)
		}
	}
	return ends, true
}
