package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/countersign/countersign/internal/config"
	"github.com/countersign/countersign/internal/doctor"
	"github.com/countersign/countersign/internal/redisconn"
	"github.com/countersign/countersign/internal/terminal"
	"github.com/countersign/countersign/internal/up"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/instance"
	"github.com/countersign/countersign/server/sqlstore"
)

// doctorSettings are those of a server, so that the same flags, environment and file show how it would fare.
type doctorSettings struct {
	instance.Settings

	DataDir string `name:"data-dir" help:"look at the running system of this data folder instead; without any setting it is ./countersign-data, if a system runs there"`
	Output  string `name:"output" short:"o" default:"text" oneof:"text|json" help:"text or json"`
}

func newDoctorCmd(env environment) *cobra.Command {
	var settings doctorSettings
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look at what a server needs, and say what to mend",
		Long: "Look at the surroundings of a server: database, Redis, clocks, keys, certificate, issuer, ports, limits. It takes the\n" +
			"settings of `countersign server`, and says of each whether it is well and, if not, what to do. Nothing is changed, but\n" +
			"for one record of a second's life in the token store. No look takes longer than 5 s. If something has to be mended,\n" +
			"the exit code is 1. With --data-dir it looks at the parts of a system that `countersign up` runs.\n" +
			"Gateways and load balancers: `countersign gateway --check-config`, `countersign lb --check-config`.",
		Example: "  countersign doctor --config server.yaml\n  countersign doctor --database-file database.url -o json\n  countersign doctor --data-dir ./countersign-data",
		Args:    arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := load(cmd, env, &settings); err != nil {
				return err
			}
			all, err := settings.examine(cmd, env)
			if err != nil {
				return err
			}
			if settings.Output == "json" {
				err = printJSON(env.stdout, all)
			} else {
				err = doctor.Write(env.stdout, all, terminal.For(env.stdout, env.environ))
			}
			if err == nil && doctor.Worst(all) == doctor.Fail {
				err = errors.New("something has to be mended")
			}
			return err
		},
	}
	config.Bind(cmd.Flags(), &settings)
	return cmd
}

func (s *doctorSettings) examine(cmd *cobra.Command, env environment) ([]doctor.Finding, error) {
	client := &http.Client{Timeout: doctor.Within, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if folder := s.folder(cmd, env); folder != "" {
		return examineSystem(cmd.Context(), folder, client)
	}
	wrong := s.Validate() // fills in the issuer
	c := doctor.Config{
		Issuer: s.Issuer, Listen: s.Listen, AdminListen: s.AdminListen, TLSCert: s.TLSCert, TLSKey: s.TLSKey, MasterKeyFile: s.MasterKeyFile,
		TrustedProxies: s.TrustedProxies, Migrate: s.Migrate,
		Database: s.openDatabase, HintChannel: instance.HintChannel(s.Issuer), RedisUser: strings.Contains(s.TokenStore, "@"),
		HTTP: client, Now: time.Now, Root: os.DirFS("/"),
	}
	if wrong != nil {
		c.Wrong = strings.Split(wrong.Error(), "\n")
	}
	if u, err := url.Parse(s.Database); err == nil && u.Scheme == "mysql" {
		c.DatabaseAddress, c.DatabaseTLS = u.Host, u.Query().Get("tls")
	}
	if redis, err := redisconn.Open(s.TokenStore, redisconn.Config{Budget: time.Second}); err == nil { // else the settings are wrong, or there is none
		defer func() { _ = redis.Close() }()
		c.Redis = redis
	}
	return doctor.Examine(cmd.Context(), c), nil
}

// folder returns the data folder of the running system that is meant, if one is.
func (s *doctorSettings) folder(cmd *cobra.Command, env environment) string {
	given := s.DataDir != ""
	cmd.Flags().Visit(func(flag *pflag.Flag) { given = given || flag.Name != "output" })
	given = given || slices.ContainsFunc(env.environ, func(v string) bool {
		return strings.HasPrefix(v, config.EnvPrefix) && !strings.HasPrefix(v, config.EnvPrefix+"TEST_") && !strings.HasPrefix(v, config.EnvPrefix+"OUTPUT=")
	})
	if _, err := os.Stat(filepath.Join(defaultDataDir, "up.sock")); !given && err == nil {
		return defaultDataDir
	}
	return s.DataDir
}

// examinedDatabase shows a store to the doctor, who names none.
type examinedDatabase struct{ *sqlstore.Store }

func (s *doctorSettings) openDatabase(ctx context.Context) (doctor.Database, error) {
	store, err := sqlstore.Open(ctx, sqlstore.Config{
		URL: s.Database, Timeout: min(s.DatabaseTimeout, doctor.Within/2), Connections: 1, Existing: true, Logger: slog.New(slog.DiscardHandler),
	})
	return examinedDatabase{store}, err
}

func (d examinedDatabase) Facts(ctx context.Context) (doctor.Facts, error) {
	facts, err := d.Store.Facts(ctx)
	return doctor.Facts(facts), err
}

// Schema implements doctor.Database. With a schema that is behind, both text and error are there.
func (d examinedDatabase) Schema(ctx context.Context) (string, error) {
	status, err := d.Status(ctx)
	if err != nil {
		return "", err
	}
	if status.MinCompatible > status.Binary {
		return "", status.Check()
	}
	return fmt.Sprintf("level %d, of this binary %d, works from %d on", status.Database, status.Binary, status.MinCompatible), status.Check()
}

func (d examinedDatabase) SealedKeys(ctx context.Context) (sealed []*auth.SealedKey, err error) {
	status, err := d.Status(ctx)
	if err != nil || status.Database == 0 { // no tables yet
		return nil, err
	}
	err = d.View(ctx, func(tx auth.Tx) error {
		sealed, err = tx.Keys().SealedKeys(ctx)
		return err //nolint:wrapcheck // told as it is
	})
	return sealed, err
}

func examineSystem(ctx context.Context, folder string, client *http.Client) ([]doctor.Finding, error) {
	parts, err := up.Tell(ctx, folder, "status")
	if err != nil {
		return nil, err
	}
	bootstrap, err := (&up.Folder{Path: folder}).ReadBootstrap()
	if err != nil {
		return nil, err
	}
	sys := doctor.System{Issuer: bootstrap.Issuer, AdminURL: bootstrap.AdminURL, EntryURL: bootstrap.EntryURL, HTTP: client}
	if folder != defaultDataDir {
		sys.Flags = " --data-dir " + up.ShellPath(folder)
	}
	for _, part := range parts {
		sys.Parts = append(sys.Parts, doctor.Part{Name: part.Name, State: part.State, URL: part.URL, Restarts: part.Restarts})
	}
	return doctor.ExamineSystem(ctx, sys), nil
}
