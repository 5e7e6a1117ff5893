// Command limit does by hand what Countersign does per request, on net/http alone and with nothing of Countersign in it: it
// is the limit that the benchmarks measure beside it. It parses the form, checks the secret by HMAC-SHA-256, makes an opaque
// token or signs an ES256 JWT, and answers when the token's row is committed in MariaDB; it introspects from memory, or by one GET of Redis. It
// validates, logs, counts and revokes nothing.
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
	"sync"
	"syscall"
	"time"
)

// The variables that it is set up by.
const (
	listenVariable   = "LIMIT_LISTEN"   // host:port
	databaseVariable = "LIMIT_DATABASE" // of the driver's form: user:password@tcp(host:port)/schema
	clientVariable   = "LIMIT_CLIENT"
	secretVariable   = "LIMIT_SECRET"
	redisVariable    = "LIMIT_REDIS" // redis://host:port/n: introspection asks it, and nothing is remembered here; "": memory
)

func main() {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		log.ErrorContext(ctx, "limit", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	w, err := openWriter(ctx, os.Getenv(databaseVariable))
	if err != nil {
		return err
	}
	defer w.db.Close()
	var known tokens = newMemory()
	if address := os.Getenv(redisVariable); address != "" {
		if known, err = openRedis(address); err != nil {
			return err
		}
	}
	i, err := newIssuer(os.Getenv(clientVariable), os.Getenv(secretVariable), w, known)
	if err != nil {
		return err
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", os.Getenv(listenVariable))
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /jwt", i.jwt)
	mux.HandleFunc("POST /opaque", i.opaque)
	mux.HandleFunc("POST /introspect", i.introspect)
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, WriteTimeout: 30 * time.Second,
	}
	var background sync.WaitGroup
	writing, end := context.WithCancel(context.WithoutCancel(ctx))
	background.Go(func() { w.run(writing) })
	background.Go(func() {
		<-ctx.Done()
		_ = server.Shutdown(writing) // what is cut off was asked for by nobody who still waits
		end()
	})
	err = server.Serve(listener)
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	background.Wait()
	return nil
}
