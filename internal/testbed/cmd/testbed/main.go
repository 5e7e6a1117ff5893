// Command testbed runs a command, such as go test ./..., beside a MariaDB and a Redis that all test
// processes share. It ends with the command's exit code.
//
//	testbed -- go test ./...
package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/countersign/countersign/internal/testbed"
)

func main() {
	argv := os.Args[1:]
	if len(argv) > 0 && argv[0] == "--" {
		argv = argv[1:]
	}
	if len(argv) == 0 {
		fmt.Fprintln(os.Stderr, "usage: testbed -- command [argument ...]")
		os.Exit(2)
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	exit, err := testbed.Launch(argv, signals, os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testbed:", err)
		exit = max(exit, 1)
	}
	os.Exit(exit)
}
