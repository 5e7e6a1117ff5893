// Command notice writes NOTICE for the repository in the current folder to standard output.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/countersign/countersign/internal/notice"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := notice.Write(ctx, os.Stdout, ".")
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "notice:", err)
		os.Exit(1)
	}
}
