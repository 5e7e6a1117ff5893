package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/testbed"
)

func TestReport(t *testing.T) {
	t.Parallel()
	report := &Report{
		Name: "x", Title: "X", Setting: "Here.", Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Machine: thisMachine(),
		Versions: map[string]string{"Go": "go1"}, Rows: []Row{{
			Work:  "work",
			Ours:  Figures{Rates: []float64{900, 1100, 1000}, Rate: 1000, P50: time.Millisecond, P99: 2 * time.Millisecond, CPU: map[string]float64{"server": 0.04}},
			Limit: Figures{Rates: []float64{1234567}, Rate: 1234567, P99: 3 * time.Millisecond}, Share: 0.5, Floor: 0.33,
		}},
	}
	folder := filepath.Join(t.TempDir(), "results")
	if err := report.write(folder); err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile(filepath.Join(folder, "x.md"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "| work | 1,000 ± 10% | 1,234,567 ± 0% | **50%** | 33% | 1.0 ms | 2.0 ms | 3.0 ms | server 40 |  |\n"; !strings.Contains(string(table), want) {
		t.Errorf("no %q in\n%s", want, table)
	}
	if _, err := os.Stat(filepath.Join(folder, "x.json")); err != nil {
		t.Error(err)
	}
	if m := report.Machine; m.Cores < 1 || m.Memory == "" || m.Kernel == "linux unknown" {
		t.Errorf("machine is %+v", m)
	}
}

func TestCPUTime(t *testing.T) {
	t.Parallel()
	before, err := cpuTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); time.Since(began) < time.Minute; {
		after, err := cpuTime(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if after > before {
			return
		}
	}
	t.Error("a minute of work has cost no processor time")
}

// A server's workers count as the server.
func TestCPUTimeOfAGroup(t *testing.T) {
	t.Parallel()
	// The leader waits, its child works until it is killed, with its parent or by the test.
	cmd := exec.Command("/bin/sh", "-c", "while :; do :; done & wait")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	}()
	testbed.Wait(t, time.Minute, func() error {
		own, _, err := statOf(cmd.Process.Pid)
		if err != nil {
			return err
		}
		all, err := cpuTime(cmd.Process.Pid)
		if err == nil && all < own+10*tick {
			err = fmt.Errorf("%v of the group, %v of its leader", all, own)
		}
		return err
	})
}

func TestResident(t *testing.T) {
	t.Parallel()
	bytes, err := resident(os.Getpid())
	if err != nil || bytes < 1<<20 || bytes > 1<<36 {
		t.Errorf("%d bytes, %v", bytes, err)
	}
	if _, err := resident(1 << 30); err == nil {
		t.Error("a process that does not exist has memory")
	}
}

func TestMedian(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		of   []float64
		want float64
	}{
		{[]float64{3}, 3}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 2, 9}, 3},
	} {
		if got := median(tt.of); got != tt.want {
			t.Errorf("median of %v is %v, want %v", tt.of, got, tt.want)
		}
	}
}
