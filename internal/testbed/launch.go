package testbed

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// Launch starts a MariaDB and a Redis, runs the command argv with their addresses in
// [MariaDBVariable] and [RedisVariable], and stops them when it has ended. A variable that is set
// already is left as it is, and no server started for it. The command runs in a process group of
// its own, to which every signal received is passed on; it has no standard input.
//
// The exit code is the command's, or 128 plus the number of the signal that ended it.
func Launch(argv []string, signals <-chan os.Signal, stdout, stderr io.Writer) (exit int, err error) {
	env := os.Environ()
	for _, shared := range []struct {
		variable string
		launch   func() (string, *instance, error)
	}{
		{MariaDBVariable, launchMariaDB},
		{RedisVariable, launchRedis},
	} {
		if _, ok := os.LookupEnv(shared.variable); ok {
			continue
		}
		url, server, e := shared.launch()
		if e != nil {
			return 1, e
		}
		defer func() { err = errors.Join(err, server.stop()) }()
		env = append(env, shared.variable+"="+url)
	}
	cmd := command(argv[0], argv[1:]...)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, stdout, stderr
	proc, err := spawn(cmd)
	if err != nil {
		return 1, err
	}
	for {
		select {
		case <-proc.gone:
			return exitCode(cmd.ProcessState), nil
		case s := <-signals:
			if err := passOn(s, cmd.Process.Pid); err != nil {
				proc.kill()
				return 1, err
			}
		}
	}
}

// passOn sends a signal to a process group.
func passOn(s os.Signal, group int) error {
	number, ok := s.(syscall.Signal)
	if !ok {
		return fmt.Errorf("pass on %v: not a signal of this system", s)
	}
	if err := syscall.Kill(-group, number); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("pass on %v: %w", s, err)
	}
	return nil
}

func exitCode(state *os.ProcessState) int {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return state.ExitCode()
}
