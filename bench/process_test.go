package bench

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/testbed"
)

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
