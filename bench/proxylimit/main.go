// Command proxylimit is what the gateway and the load balancer are measured beside, on net/http alone and with nothing of
// Countersign in it: `proxylimit upstream ADDRESS` answers, `proxylimit proxy ADDRESS UPSTREAM [PATIENCE]` passes requests on, `proxylimit connections ADDRESS
// UPSTREAM` whole connections. Whoever takes longer than PATIENCE to send a request or to take its answer is hung up on. The proxies authenticate, log and count nothing.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		log.ErrorContext(ctx, "proxylimit", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 2 && args[0] == "upstream":
		return serve(ctx, args[1], newUpstream(), 0)
	case len(args) == 3 && args[0] == "proxy":
		return serve(ctx, args[1], newProxy(args[2]), 0)
	case len(args) == 4 && args[0] == "proxy":
		patience, err := time.ParseDuration(args[3])
		if err != nil {
			return fmt.Errorf("PATIENCE: %w", err)
		}
		return serve(ctx, args[1], newProxy(args[2]), patience)
	case len(args) == 3 && args[0] == "connections":
		return join(ctx, args[1], args[2])
	}
	return errors.New("use: proxylimit upstream ADDRESS, proxylimit proxy ADDRESS UPSTREAM [PATIENCE] or proxylimit connections ADDRESS UPSTREAM")
}

func serve(ctx context.Context, address string, handler http.Handler, patience time.Duration) error {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: patience, WriteTimeout: patience, IdleTimeout: 2 * time.Minute,
	}
	ended := make(chan error, 1)
	go func() {
		<-ctx.Done()
		ended <- server.Close()
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return <-ended
}
