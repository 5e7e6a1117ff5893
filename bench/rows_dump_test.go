package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/bench/report"
	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/server/auth"
)

// dumping dumps the database while tokens are issued, and proves that a dump can be used.
func (w *rowsWorld) dumping(b *testing.B) (report.Row, []report.Verdict) {
	b.Helper()
	w.restored(b)
	const beside = "beside a dump"
	row := w.beside(b, "an ES256 JWT issued", beside, Rounds{Count: 4, Each: 4 * time.Second, WarmUp: time.Second}, func() func() {
		ctx, stop := context.WithCancel(b.Context())
		ended := make(chan error, 1)
		go func() {
			for ctx.Err() == nil {
				if err := w.dump(ctx, "countersign").Run(); err != nil && ctx.Err() == nil {
					ended <- fmt.Errorf("dump: %w", err)
					return
				}
			}
			ended <- nil
		}()
		return func() {
			stop()
			w.check(<-ended)
		}
	})
	return row, []report.Verdict{{Figure: report.Rate, Of: beside, Beside: without}}
}

// dump is mariadb-dump with further arguments.
func (w *rowsWorld) dump(ctx context.Context, args ...string) *exec.Cmd {
	return w.speak(ctx, "mariadb-dump", append([]string{"--single-transaction", "--no-tablespaces"}, args...)...)
}

// speak is a client of the full MariaDB.
func (w *rowsWorld) speak(ctx context.Context, program string, args ...string) *exec.Cmd {
	u, err := url.Parse(w.full.database)
	w.check(err)
	password, _ := u.User.Password()
	first := []string{"--no-defaults", "--protocol=tcp", "--host=" + u.Hostname(), "--port=" + u.Port(), "--user=" + u.User.Username()}
	cmd := exec.CommandContext(ctx, testbed.FindProgram(w, program), append(first, args...)...)
	cmd.Env = []string{"MYSQL_PWD=" + password}
	return cmd
}

// restored dumps the tokens of the last quarter of an hour and all that is not a token, while tokens are issued, restores that to a schema of its
// own, and has a server on it introspect the tokens.
func (w *rowsWorld) restored(b *testing.B) {
	b.Helper()
	const schema = "restored"
	id, _, err := auth.ParseOpaque(w.quarter[0])
	w.check(err)
	where := fmt.Sprintf("jti >= x'%x' AND issued < %d", id[:], w.began.Truncate(time.Second).UnixMicro())
	file, err := os.Create(filepath.Join(b.TempDir(), "dump.sql"))
	w.check(err)
	defer file.Close()
	load := w.sides(jwtAPI)[0].Load
	load.Duration = time.Second
	loaded := make(chan error, 1)
	go func() {
		_, err := load.Run(b.Context())
		loaded <- err
	}()
	for _, args := range [][]string{{"countersign", "--ignore-table=countersign.tokens"}, {"countersign", "tokens", "--where=" + where}} {
		cmd := w.dump(b.Context(), args...)
		cmd.Stdout = file
		w.check(cmd.Run())
	}
	w.check(<-loaded)
	w.full.exec("CREATE DATABASE " + schema)
	_, err = file.Seek(0, 0)
	w.check(err)
	restore := w.speak(b.Context(), "mariadb", schema)
	restore.Stdin = file
	w.check(restore.Run())
	if got, want := w.sum(b, schema+".tokens", "TRUE"), w.sum(b, "tokens", where); got != want || got.count == 0 {
		b.Fatalf("%+v were restored, of %+v", got, want)
	}
	other := *w.full.issuer
	other.database = strings.TrimSuffix(w.full.database, "countersign") + schema
	p := other.another("restored")
	for _, token := range w.quarter[:min(100, len(w.quarter))] {
		w.check(other.introspect(p, token))
	}
}

// introspect asks about one token, which must be active.
func (i *issuer) introspect(p program, token string) error {
	r, err := http.NewRequestWithContext(i.Context(), http.MethodPost, "http://"+p.address+"/oauth2/introspect", strings.NewReader(url.Values{"token": {token}}.Encode()))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(i.caller.ID.String(), i.caller.Secret.Reveal())
	response, err := (&http.Client{Timeout: time.Minute}).Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var answer struct{ Active bool }
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || !answer.Active {
		return errors.Join(errors.New(response.Status+": the token is not active"), err)
	}
	return nil
}
