package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/internal/config"
	"github.com/countersign/countersign/internal/drill"
	"github.com/countersign/countersign/internal/terminal"
	"github.com/countersign/countersign/internal/up"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/instance"
)

type drillSettings struct {
	DataDir string        `name:"data-dir" default:"./countersign-data" help:"the data folder of the running system"`
	For     time.Duration `name:"for" default:"10s" help:"how long a fault lasts, and the load of steady; 1s to 1h"`
	Outage  time.Duration `name:"outage" default:"1m" help:"how long every auth server is down in auth-all-killed; 1s to 1h"`
	Rate    int           `name:"rate" default:"20" help:"requests a second of each load; 1 to 1000"`
	Trials  int           `name:"trials" default:"20" help:"how many tokens revocation revokes; 1 to 1000"`
	Output  string        `name:"output" short:"o" default:"text" oneof:"text|json" help:"text or json"`
}

func newDrillCmd(env environment) *cobra.Command {
	var settings drillSettings
	cmd := &cobra.Command{
		Use:   "drill NAME…",
		Short: "Break the running system on purpose, and see what holds",
		Long: "Break the system that `countersign up` runs, under load, measure what callers notice, and compare it with what the design\n" +
			"promises for that failure. `countersign drill list` shows the drills; all runs every one. What was broken is restored, also\n" +
			"on Ctrl-C. The exit code is 1 if a promise was not kept. Some drills need a system that was started with `countersign up --drills`.",
		Example: "  countersign drill auth-one-killed\n  countersign drill all --outage 10s\n  countersign drill steady --for 60s --rate 100 -o json",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{errors.New("name a drill, or all: `countersign drill list` shows what there is")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := load(cmd, env, &settings); err != nil {
				return err
			}
			return runDrills(cmd.Context(), env, settings, args)
		},
	}
	config.Bind(cmd.Flags(), &settings)
	cmd.AddCommand(&cobra.Command{
		Use: "list", Short: "Show the drills", Example: "  countersign drill list", Args: arguments(),
		RunE: func(*cobra.Command, []string) error {
			table := tabwriter.NewWriter(env.stdout, 0, 0, 2, ' ', 0)
			for _, d := range drill.All() {
				fmt.Fprintf(table, "%s\t%s\n", d.Name, d.Does)
			}
			return table.Flush() //nolint:wrapcheck // standard output is gone
		},
	})
	return cmd
}

func runDrills(ctx context.Context, env environment, settings drillSettings, names []string) error {
	drills, err := drill.Find(names...)
	if err != nil {
		return usageError{err}
	}
	c := drill.Config{
		Ask: func(ctx context.Context, command string) (up.Answer, error) {
			return up.Ask(ctx, settings.DataDir, command)
		},
		HoldDatabase: func(ctx context.Context) (func() error, error) { return holdSQLite(ctx, settings.DataDir) },
		For:          settings.For, Outage: settings.Outage, Rate: settings.Rate, Trials: settings.Trials,
		Progress: func(line string) { fmt.Fprintln(env.stderr, line) },
	}
	if err := c.Validate(); err != nil {
		return usageError{err}
	}
	if _, err := c.Ask(ctx, "status"); err != nil {
		return err
	}
	if c.Bootstrap, err = (&up.Folder{Path: settings.DataDir}).ReadBootstrap(); err != nil {
		return err
	}
	var reports []*drill.Report
	var failed []string
	for _, d := range drills {
		report, err := drill.Run(ctx, c, d)
		if err != nil {
			return err
		}
		if report.Verdict == drill.Fail {
			failed = append(failed, d.Name)
		}
		reports = append(reports, report)
		if settings.Output == "text" {
			if err := report.Write(env.stdout, terminal.For(env.stdout, env.environ)); err != nil {
				return err
			}
		}
	}
	if settings.Output == "json" {
		if err := printJSON(env.stdout, reports); err != nil {
			return err
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("%d of %d drills failed: %s", len(failed), len(drills), strings.Join(failed, ", "))
	}
	return nil
}

// holdSQLite takes the write lock of the SQLite database in a data folder, as a process does that never ends its transaction.
func holdSQLite(ctx context.Context, folder string) (release func() error, err error) {
	settings := instance.DefaultSettings()
	path := filepath.Join(folder, "countersign.db")
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("find the database: %w", err)
	}
	settings.Database, settings.Migrate = "sqlite:"+path, false
	store, err := instance.OpenStore(ctx, settings, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		return nil, err
	}
	errReleased := errors.New("released")
	held, let, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		var once sync.Once
		// Restoring goes on after ctx has ended, and the lock is held until then.
		ended <- store.Update(context.WithoutCancel(ctx), func(auth.Tx) error {
			once.Do(func() { close(held) })
			<-let
			return errReleased // rolls back
		})
	}()
	select {
	case <-held:
	case err := <-ended:
		return nil, errors.Join(err, store.Close())
	}
	return func() error {
		close(let)
		if err := <-ended; !errors.Is(err, errReleased) {
			return errors.Join(err, store.Close())
		}
		return store.Close()
	}, nil
}
