// Package peer is what the reference servers of other people's libraries have in common: what they are told, and how they listen. Nothing of
// Countersign is in them.
package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Settings is what a benchmark tells a server, by the variables of its environment that are named beside each field.
type Settings struct {
	Listen string // PEER_LISTEN, host:port
	Client string // PEER_CLIENT, the one client that there is; it may have the scopes read and write
	Secret string // PEER_SECRET
	JWT    bool   // PEER_FORMAT is jwt, and tokens are JWTs by ES256; or it is opaque
	BCrypt bool   // PEER_HASHER is bcrypt, or it is sha256: how secrets are kept, where a library asks
}

// Run serves what the settings make until the process is told to end.
func Run(getenv func(string) string, server func(Settings) (http.Handler, error)) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s, err := read(getenv)
	if err != nil {
		return err
	}
	handler, err := server(s)
	if err != nil {
		return err
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", s.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	listening := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute}
	ended := make(chan error, 1)
	go func() {
		<-ctx.Done()
		ended <- listening.Close()
	}()
	if err := listening.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return <-ended
}

func read(getenv func(string) string) (Settings, error) {
	s := Settings{Listen: getenv("PEER_LISTEN"), Client: getenv("PEER_CLIENT"), Secret: getenv("PEER_SECRET")}
	if s.Listen == "" || s.Client == "" || s.Secret == "" {
		return s, errors.New("PEER_LISTEN, PEER_CLIENT and PEER_SECRET have to be set")
	}
	for name, choice := range map[string]struct {
		yes, no string
		into    *bool
	}{
		"PEER_FORMAT": {"jwt", "opaque", &s.JWT},
		"PEER_HASHER": {"bcrypt", "sha256", &s.BCrypt},
	} {
		switch getenv(name) {
		case choice.yes:
			*choice.into = true
		case choice.no:
		default:
			return s, fmt.Errorf("%s has to be %s or %s", name, choice.yes, choice.no)
		}
	}
	return s, nil
}
