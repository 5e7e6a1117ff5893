package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/bench/report"
	"github.com/countersign/countersign/internal/testbed"
)

// scene is where the processes of a benchmark run.
type scene struct {
	*testing.B
	folder string
	binary string // of ours, once it is built
}

// program is a process that answers at an address.
type program struct {
	*testbed.Program
	address string
	admin   string // where its metrics are, if it is ours
}

func newScene(b *testing.B) *scene {
	b.Helper()
	return &scene{B: b, folder: b.TempDir()}
}

// countersign returns the path of our binary.
func (s *scene) countersign() string {
	s.Helper()
	if s.binary == "" {
		s.binary = s.build("countersign", "..")
	}
	return s.binary
}

func (s *scene) check(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// build makes a program of this module as `make build` does.
func (s *scene) build(name, from string) string {
	s.Helper()
	path := filepath.Join(s.folder, name)
	flags := "-X main.version=" + revision(s.Context())
	output, err := exec.CommandContext(s.Context(), "go", "build", "-trimpath", "-ldflags", flags, "-o", path, from).CombinedOutput()
	if err != nil {
		s.Fatalf("build %s: %v\n%s", from, err, output)
	}
	return path
}

func revision(ctx context.Context) string {
	text, err := exec.CommandContext(ctx, "git", "describe", "--tags", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(text))
}

// start runs a program until the end of the benchmark, and returns when it answers at its address.
func (s *scene) start(name string, cmd *exec.Cmd, address string) program {
	s.Helper()
	log, err := os.Create(filepath.Join(s.folder, name+".log"))
	s.check(err)
	s.Cleanup(func() { _ = log.Close() })
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.folder, log, log
	p := program{Program: testbed.StartProgram(s, cmd), address: address}
	testbed.Wait(s, 30*time.Second, func() error {
		select {
		case <-p.Gone():
			text, _ := os.ReadFile(log.Name())
			s.Fatalf("%s ended: %s", name, text)
		default:
		}
		r, err := http.NewRequestWithContext(s.Context(), http.MethodGet, "http://"+address+"/readyz", http.NoBody)
		if err != nil {
			return err
		}
		answer, err := (&http.Client{Timeout: time.Second}).Do(r)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if answer.StatusCode >= http.StatusInternalServerError {
			return errors.New(answer.Status)
		}
		return nil
	})
	return p
}

// publish writes a report to results/, and into the pages that have its tables.
func (s *scene) publish(r *report.Report) {
	s.Helper()
	publish(s.B, r)
}

func publish(b *testing.B, r *report.Report) {
	b.Helper()
	r.Time, r.Machine = time.Now().UTC(), report.ThisMachine()
	versions := map[string]string{"Countersign": revision(b.Context()), "Go": runtime.Version()}
	maps.Copy(versions, r.Versions)
	r.Versions = versions
	if err := errors.Join(r.Write("results"), report.UpdatePages("..")); err != nil {
		b.Fatal(err)
	}
}

// tell prints rows as they were measured. The whole comparison is one operation, whose time says nothing.
func tell(b *testing.B, rows ...report.Row) {
	b.Helper()
	b.ReportMetric(0, "ns/op")
	_, _ = io.WriteString(os.Stdout, "\n"+report.Tables(rows)+"\n") // of a log only the first lines are printed
}

// loopback returns an address on which nothing listens yet.
func (s *scene) loopback() string { return fmt.Sprintf("127.0.0.1:%d", testbed.FreePort(s)) }
