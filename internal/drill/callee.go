package drill

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// callee is a service of the drill's own, on a free port of the loopback interface.
type callee struct {
	url    string
	server *http.Server
	ended  chan error
}

func startCallee(ctx context.Context, handler http.Handler) (*callee, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the drill's own service: %w", err)
	}
	c := &callee{
		url: "http://" + listener.Addr().String() + "/", ended: make(chan error, 1),
		server: &http.Server{Handler: handler, ReadHeaderTimeout: patience, ReadTimeout: patience, WriteTimeout: 2 * patience, IdleTimeout: time.Minute},
	}
	go func() { c.ended <- c.server.Serve(listener) }()
	return c, nil
}

// close ends the service and waits for it.
func (c *callee) close() error {
	err := c.server.Close()
	if served := <-c.ended; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	if err != nil {
		return fmt.Errorf("end the drill's own service: %w", err)
	}
	return nil
}
