package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
)

// join passes connections on by io.Copy, until ctx ends.
func join(ctx context.Context, address, upstream string) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer context.AfterFunc(ctx, func() { _ = listener.Close() })() // the error of Accept tells
	var joined sync.WaitGroup
	for {
		client, err := listener.Accept()
		if ctx.Err() != nil {
			joined.Wait()
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		joined.Go(func() { pass(ctx, client, upstream) })
	}
}

// pass passes on what client and upstream send until either ends.
func pass(ctx context.Context, client net.Conn, upstream string) {
	defer func() { _ = client.Close() }() // it has ended
	server, err := new(net.Dialer).DialContext(ctx, "tcp", upstream)
	if err != nil {
		return // which the client sees
	}
	end := func() { _, _ = client.Close(), server.Close() } // nobody is left to be told
	defer context.AfterFunc(ctx, end)()
	var there sync.WaitGroup
	there.Go(func() {
		defer end()
		_, _ = io.Copy(server, client) // its end is all that counts
	})
	defer there.Wait()
	defer end()
	_, _ = io.Copy(client, server) // likewise
}
