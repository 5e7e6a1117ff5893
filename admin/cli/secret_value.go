package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/admin/wire"
)

// expiry is the flags that say when a secret ends.
type expiry struct {
	in    time.Duration
	when  string
	never bool
}

func (e *expiry) bind(cmd *cobra.Command) {
	lengthFlag(cmd, &e.in, "expires-in", "", "it ends after this `time`, such as 90d or 12h")
	cmd.Flags().StringVar(&e.when, "expires-at", "", "it ends at this `moment`, such as 2030-01-31T12:00:00Z")
}

// at returns when the secret ends, nil for never.
func (e *expiry) at(cmd *cobra.Command, now time.Time) (*time.Time, error) {
	switch in, at := given(cmd, "expires-in"), given(cmd, "expires-at"); {
	case in && at:
		return nil, usagef("--expires-in and --expires-at exclude each other")
	case in:
		moment := now.Add(e.in).UTC().Truncate(time.Second)
		return &moment, nil
	case at:
		moment, err := time.Parse(time.RFC3339, e.when)
		if err != nil {
			return nil, usagef("--expires-at is %q: allowed is a moment such as 2030-01-31T12:00:00Z", e.when)
		}
		return &moment, nil
	}
	return nil, nil
}

func toFlag(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVar(to, "to", "", "write the value to this new `file`, for its owner alone, in place of showing it")
}

// readValue reads a secret value from a file, or from standard input for "-". It never comes from the command line, which everybody
// on the machine can see.
func (s *session) readValue(name string) (string, error) {
	if name == "-" {
		return secretFrom(s.env.Stdin, "standard input")
	}
	return readSecret(name)
}

// newSecret is a call that makes a secret.
type newSecret struct {
	client   string   // as the user names it
	path     []string // below the client
	body     any
	to       string // the file for the value; empty: it is shown
	imported bool   // the user knows the value
}

// newSecret makes a secret. The file for it is made first, so that no value gets lost.
func (s *session) newSecret(ctx context.Context, n newSecret) error {
	id, err := s.api.client(ctx, n.client)
	if err != nil {
		return err
	}
	var file *os.File
	if n.to != "" {
		if file, err = newSecretFile(n.to); err != nil {
			return err
		}
	}
	made, err := s.api.do(ctx, request{method: http.MethodPost, path: path(append([]string{"clients", id}, n.path...)...), body: n.body})
	if err != nil {
		return errors.Join(err, abandon(file))
	}
	secret, err := decode[wire.NewSecret](made.body)
	if err != nil {
		return errors.Join(err, abandon(file))
	}
	if secret.Value == "" && !n.imported {
		return errors.Join(&remoteError{what: "secret " + secret.ID + " was made, but its value did not arrive: delete it and make another"}, abandon(file))
	}
	if file != nil {
		if err := finish(file, secret.Value); err != nil {
			return fmt.Errorf("secret %s was made, but its value is lost: disable it and make another: %w", secret.ID, err)
		}
	}
	return s.printSecret(secret, n)
}

func (s *session) printSecret(secret wire.NewSecret, n newSecret) error {
	if s.print.machine() {
		if n.to != "" {
			secret.Value = ""
		}
		return s.print.value(secret)
	}
	rows := secretRows(s.print, secret.Secret)
	if n.to != "" {
		rows = append(rows, row{"written to", n.to})
	} else if !n.imported {
		rows = append(rows, row{"client_secret", secret.Value})
	}
	for _, old := range secret.Retiring {
		rows = append(rows, row{"retiring", old.ID + " expires " + s.print.momentOr(old.Expires, "never")})
	}
	if err := printRows(s.print.out, rows); err != nil {
		return err
	}
	if n.to == "" && !n.imported {
		s.note("the value is not shown again")
	}
	return nil
}

// newSecretFile makes a file that does not exist yet, for its owner alone.
func newSecretFile(name string) (*os.File, error) {
	file, err := os.OpenFile(filepath.Clean(name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, usagef("%s exists already and is left alone: name a file that does not", name)
	}
	if err != nil {
		return nil, usagef("make the file for the value: %w", err)
	}
	return file, nil
}

// abandon removes the file again, if there is one.
func abandon(file *os.File) error {
	if file == nil {
		return nil
	}
	return errors.Join(file.Close(), os.Remove(file.Name()))
}

func finish(file *os.File, value string) error {
	_, err := file.WriteString(value + "\n")
	return errors.Join(err, file.Sync(), file.Close())
}
