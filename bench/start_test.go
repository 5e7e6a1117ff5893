package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/countersign/countersign/bench/report"
	"github.com/countersign/countersign/internal/testbed"
)

const (
	firstAnswer = "until the first token"
	starts      = 11 // of each kind
	portsOfUp   = 50 // from a base on, as many as it may take
)

// BenchmarkStart is how long a start takes, from the exec of the binary. Its rows are those of results/start.md.
func BenchmarkStart(b *testing.B) {
	s := newScene(b)
	s.countersign() // built, and in the memory of the machine, by then
	var fresh, again []float64
	for n := range starts + 1 {
		folder := filepath.Join(s.folder, fmt.Sprintf("start-%d", n))
		s.check(os.Mkdir(folder, 0o700))
		s.check(exec.Command(s.binary, "master-key", "create", filepath.Join(folder, "master.key")).Run())
		first, credentials := s.startOnce(folder, "")
		second, _ := s.startOnce(folder, credentials)
		if n > 0 { // the first warms up
			fresh, again = append(fresh, first), append(again, second)
		}
	}
	size, err := os.Stat(s.binary)
	s.check(err)
	rows := []report.Row{
		started("`countersign server` on SQLite, new database", report.NewFigure(firstAnswer, report.Millis, fresh...)),
		started("`countersign server` on SQLite, database of an earlier start", report.NewFigure(firstAnswer, report.Millis, again...)),
		started("`countersign up`, seven processes, new folder", report.NewFigure("until ready", report.Millis, s.upTimes()...)),
		started("the binary, as `make build` makes it", report.NewFigure("size", "MiB", mebibytes(size.Size()))),
	}
	for n := range 2 {
		v := report.Verdict{Figure: firstAnswer, Of: countersign, AtMost: true, Floor: 150, Goal: 50, Summary: "start to first token, " + strings.TrimPrefix(rows[n].Work, "`countersign server` on ")}
		if err := rows[n].Judge(v); err != nil {
			b.Error(err)
		}
	}
	tell(b, rows...)
	s.publish(&report.Report{
		Name: "start", Title: "Start", Rows: rows,
		Setting: "From the exec of the binary, which the machine has in its memory, until the first token was answered, or until `up` says that all its parts are ready. " +
			"A new database is migrated, gets its first key and the client that administers it.",
	})
}

func started(work string, f report.Figure) report.Row {
	return report.Row{Work: work, Sides: []report.Side{{Name: countersign, Figures: []report.Figure{f}}}}
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }

// startOnce runs a server in a folder and returns after how many milliseconds it has answered with a token, and the credentials that it
// was asked with. Without any they are those that it prints at the first start.
func (s *scene) startOnce(folder, credentials string) (took float64, used string) {
	s.Helper()
	address := s.loopback()
	cmd := exec.Command(s.binary, "server", "--listen", address, "--admin-listen", s.loopback(), "--master-key-file", "master.key")
	cmd.Dir, cmd.Env = folder, []string{"COUNTERSIGN_DATABASE=sqlite:" + filepath.Join(folder, "server.db")}
	out, err := cmd.StdoutPipe()
	s.check(err)
	began := time.Now()
	s.check(cmd.Start())
	defer s.end(cmd)
	if credentials == "" {
		line, err := bufio.NewReader(out).ReadString('\n')
		s.check(err)
		parts := regexp.MustCompile(`client_id (\S+) client_secret (\S+)`).FindStringSubmatch(line)
		if parts == nil {
			s.Fatalf("no credentials: %s", line)
		}
		credentials = parts[1] + ":" + parts[2]
	}
	id, secret, _ := strings.Cut(credentials, ":")
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	pause := time.NewTicker(time.Millisecond) // who asks on and on would take the processor from who starts
	defer pause.Stop()
	for ; time.Since(began) < 30*time.Second; <-pause.C {
		if err = tokenFrom(s.Context(), client, "http://"+address+"/oauth2/token", id, secret); err == nil {
			return time.Since(began).Seconds() * 1000, credentials
		}
	}
	s.Fatal("no token in time: ", err)
	return 0, ""
}

// tokenFrom asks for a token once.
func tokenFrom(ctx context.Context, client *http.Client, endpoint, id, secret string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader("grant_type=client_credentials"))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(id, secret)
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK || !strings.Contains(string(body), `"access_token"`) {
		return errors.New(answer.Status + " " + string(body))
	}
	return nil
}

// end stops a process and awaits its end.
func (s *scene) end(cmd *exec.Cmd) {
	s.Helper()
	s.check(cmd.Process.Signal(syscall.SIGTERM))
	s.check(cmd.Wait())
}

// upTimes returns after how many milliseconds `up` was ready, each time in a new folder.
func (s *scene) upTimes() (took []float64) {
	s.Helper()
	for n := range 5 {
		folder := filepath.Join(s.folder, fmt.Sprintf("up-%d", n))
		cmd := exec.Command(s.binary, "up", "--quiet", "--data-dir", folder, "--port-base", fmt.Sprint(testbed.FreePorts(s, portsOfUp)))
		cmd.Env = []string{"HOME=" + s.folder, "PATH=" + os.Getenv("PATH")}
		out, err := cmd.StdoutPipe()
		s.check(err)
		began := time.Now()
		s.check(cmd.Start())
		line, err := bufio.NewReader(out).ReadString('\n')
		took = append(took, time.Since(began).Seconds()*1000)
		s.end(cmd)
		if err != nil || !strings.Contains(line, "ready") {
			s.Fatalf("%v: %s", err, line)
		}
	}
	return took
}
