package main

import (
	"bufio"
	"errors"
	"fmt"
	"strings"

	"github.com/countersign/countersign/internal/terminal"
	"github.com/countersign/countersign/internal/up"
)

// resetFolder removes what earlier starts left, if the user says so.
func resetFolder(env environment, folder *up.Folder, settings upSettings) error {
	if settings.MySQL != "" {
		return usageError{errors.New("--reset goes with SQLite only: with --mysql, drop the database yourself, and begin with a new data folder (--data-dir)")}
	}
	found, err := folder.Left()
	if err != nil || len(found) == 0 {
		return err
	}
	if !settings.Yes {
		if !terminal.Is(env.stdin) {
			return usageError{errors.New("--reset asks before it removes anything, and standard input is not a terminal: add --yes")}
		}
		fmt.Fprintf(env.stdout, "In %s these will be removed: %s.\nAll clients, grants and tokens are lost, and with the master key any database elsewhere that was begun with it (--mysql). Type yes to go on: ",
			folder.Path, strings.Join(found, ", "))
		answer, err := bufio.NewReader(env.stdin).ReadString('\n')
		if err != nil || strings.TrimSpace(answer) != "yes" {
			return usageError{errors.New("not confirmed: nothing was removed")}
		}
	}
	return folder.Remove(found)
}
