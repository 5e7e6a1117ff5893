package sdkredis

import "net"

// Bound returns conn as a Store has it, with replies that may be arrays of so many elements.
func Bound(conn net.Conn, elements int64) net.Conn { return bound(conn, elements) }
