package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/countersign/countersign/internal/config"
)

type common struct {
	Level string `name:"log-level" help:"verbosity" default:"info" oneof:"debug|info"`
}

type settings struct {
	common

	Listen   string        `name:"listen" help:"address" default:"127.0.0.1:9001"`
	Database string        `name:"database" help:"where" secret:"true"`
	Drain    time.Duration `name:"drain" help:"how long" default:"10s"`
	Migrate  bool          `name:"migrate" help:"run migrations" default:"true"`
	Limit    int           `name:"limit" help:"how many" default:"7"`
	Trusted  []string      `name:"trusted-proxies" help:"networks"`
	Clock    func()
}

func load(t *testing.T, args, environ []string) (settings, error) {
	t.Helper()
	var s settings
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	config.Bind(flags, &s)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return s, config.Load(flags, environ, &s)
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLayers(t *testing.T) {
	yaml := write(t, "listen: file:1\ndatabase: from-file\ndrain: 3s\ntrusted_proxies: [10.0.0.0/8, '::1/128']\nmigrate: false\n")
	secret := write(t, "mysql://secret\n")
	defaults := settings{Listen: "127.0.0.1:9001", Drain: 10 * time.Second, Migrate: true, Limit: 7, common: common{"info"}}
	for _, tt := range []struct {
		name    string
		args    []string
		environ []string
		want    func(*settings)
	}{
		{name: "defaults", want: func(*settings) {}},
		{name: "file", args: []string{"--config", yaml}, want: func(s *settings) {
			s.Listen, s.Database, s.Drain, s.Migrate = "file:1", "from-file", 3*time.Second, false
			s.Trusted = []string{"10.0.0.0/8", "::1/128"}
		}},
		{name: "file by environment", environ: []string{"COUNTERSIGN_CONFIG=" + yaml, "COUNTERSIGN_DRAIN=4s"}, want: func(s *settings) {
			s.Listen, s.Database, s.Drain, s.Migrate = "file:1", "from-file", 4*time.Second, false
			s.Trusted = []string{"10.0.0.0/8", "::1/128"}
		}},
		{name: "flag over environment", args: []string{"--listen=flag:1", "--migrate=false"}, environ: []string{"COUNTERSIGN_LISTEN=env:1", "COUNTERSIGN_LIMIT=9", "PATH=/bin"}, want: func(s *settings) {
			s.Listen, s.Limit, s.Migrate = "flag:1", 9, false
		}},
		{name: "list by flag", args: []string{"--trusted-proxies", "10.0.0.0/8, 127.0.0.1/32"}, want: func(s *settings) {
			s.Trusted = []string{"10.0.0.0/8", "127.0.0.1/32"}
		}},
		{name: "secret file over file's secret", args: []string{"--config", yaml, "--database-file", secret}, want: func(s *settings) {
			s.Listen, s.Database, s.Drain, s.Migrate = "file:1", "mysql://secret", 3*time.Second, false
			s.Trusted = []string{"10.0.0.0/8", "::1/128"}
		}},
		{name: "secret file by environment", environ: []string{"COUNTERSIGN_DATABASE_FILE=" + secret}, want: func(s *settings) { s.Database = "mysql://secret" }},
		{name: "flag over secret file", args: []string{"--database=direct"}, environ: []string{"COUNTERSIGN_DATABASE_FILE=" + secret}, want: func(s *settings) { s.Database = "direct" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := load(t, tt.args, tt.environ)
			if err != nil {
				t.Fatal(err)
			}
			want := defaults
			tt.want(&want)
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(settings{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	for _, tt := range []struct {
		name    string
		args    []string
		environ []string
		want    []string
	}{
		{name: "bad duration", args: []string{"--drain=soon"}, want: []string{"drain", "COUNTERSIGN_DRAIN", `"soon"`, "24h"}},
		{name: "bad number", environ: []string{"COUNTERSIGN_LIMIT=many"}, want: []string{"--limit", `"many"`, "whole number"}},
		{name: "bad boolean", args: []string{"--migrate=perhaps"}, want: []string{"migrate", "true, false"}},
		{name: "not among the allowed", args: []string{"--log-level=loud"}, want: []string{"log_level", `"loud"`, "debug, info"}},
		{name: "unknown key", args: []string{"--config", write(t, "listn: x\n")}, want: []string{`"listn"`, "listen"}},
		{name: "unknown variable", environ: []string{"COUNTERSIGN_LISTN=x"}, want: []string{"COUNTERSIGN_LISTN", "COUNTERSIGN_LISTEN"}},
		{name: "secret and its file", environ: []string{"COUNTERSIGN_DATABASE=x", "COUNTERSIGN_DATABASE_FILE=y"}, want: []string{"COUNTERSIGN_DATABASE_FILE", "one of them"}},
		{name: "no such file", args: []string{"--database-file=/nowhere/secret"}, want: []string{"--database-file", "/nowhere/secret"}},
		{name: "several at once", args: []string{"--drain=soon", "--limit=many"}, want: []string{"drain", "limit"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := load(t, tt.args, tt.environ)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, part := range tt.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not name %s", err, part)
				}
			}
		})
	}
}

// Kubernetes sets these in a pod beside the Services "countersign" and "countersign-auth"; a mistyped setting is none of them.
func TestServiceLinksPass(t *testing.T) {
	links := []string{
		"COUNTERSIGN_SERVICE_HOST=10.0.0.1", "COUNTERSIGN_SERVICE_PORT=9000", "COUNTERSIGN_AUTH_SERVICE_PORT_HTTPS=443", "COUNTERSIGN_PORT=tcp://10.0.0.1:9000",
		"COUNTERSIGN_PORT_9000_TCP=tcp://10.0.0.1:9000", "COUNTERSIGN_PORT_9000_TCP_PROTO=tcp", "COUNTERSIGN_PORT_9000_TCP_PORT=9000", "COUNTERSIGN_PORT_9000_TCP_ADDR=10.0.0.1",
	}
	if _, err := load(t, nil, links); err != nil {
		t.Error(err)
	}
	for _, mistyped := range []string{"COUNTERSIGN_PORT=9000", "COUNTERSIGN_PORT_9000=tcp://10.0.0.1:9000", "COUNTERSIGN_LISTEN_ADDR=10.0.0.1", "COUNTERSIGN_SERVICE=x"} {
		if _, err := load(t, nil, []string{mistyped}); err == nil {
			t.Errorf("%s is accepted", mistyped)
		}
	}
}

func TestSettingsOfOtherCommandsPass(t *testing.T) {
	other := pflag.NewFlagSet("other", pflag.ContinueOnError)
	config.Bind(other, &struct {
		Base     int    `name:"port-base" help:"first port" default:"0"`
		Password string `name:"password" help:"secret" secret:"true"`
	}{})
	file := write(t, "port_base: 7\nlistn: typo\n")
	var s settings
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	config.Bind(flags, &s)
	err := config.Load(flags, []string{"COUNTERSIGN_CONFIG=" + file, "COUNTERSIGN_PASSWORD_FILE=x", "COUNTERSIGN_PORTBASE=7"}, &s, other)
	if err == nil {
		t.Fatal("typing errors are accepted")
	}
	for name, refused := range map[string]bool{`"listn"`: true, "COUNTERSIGN_PORTBASE": true, `"port_base"`: false, "variable COUNTERSIGN_PASSWORD_FILE": false} {
		if strings.Contains(err.Error(), name) != refused {
			t.Errorf("%s refused: %v, want %v: %v", name, !refused, refused, err)
		}
	}
}

func TestHelpNamesAllThreeSpellings(t *testing.T) {
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	config.Bind(flags, &settings{})
	usage := flags.FlagUsages()
	for _, part := range []string{"--trusted-proxies", "COUNTERSIGN_TRUSTED_PROXIES", "trusted_proxies", "--database-file", "COUNTERSIGN_DATABASE_FILE"} {
		if !strings.Contains(usage, part) {
			t.Errorf("help does not name %s:\n%s", part, usage)
		}
	}
}

// A command with a document of its own is told of it by --config, and has no file with settings.
func TestADocument(t *testing.T) {
	type documented struct {
		Config string `name:"config" help:"YAML \x60file\x60 of the document" default:"lb.yaml"`
		Level  string `name:"log-level" short:"l" help:"verbosity" default:"" oneof:"|debug|info"`
		Check  bool   `name:"check-config" help:"only check" default:"false"`
	}
	for _, tt := range []struct {
		name          string
		args, environ []string
		want          documented
		err           string
	}{
		{name: "defaults", want: documented{Config: "lb.yaml"}},
		{name: "flags", args: []string{"--config", "no such file", "--check-config", "--log-level=debug"}, want: documented{Config: "no such file", Check: true, Level: "debug"}},
		{
			name: "environment", environ: []string{"COUNTERSIGN_CONFIG=other.yaml", "COUNTERSIGN_CHECK_CONFIG=true", "COUNTERSIGN_LOG_LEVEL=info"},
			want: documented{Config: "other.yaml", Check: true, Level: "info"},
		},
		{name: "flag over environment", args: []string{"--config=a"}, environ: []string{"COUNTERSIGN_CONFIG=b"}, want: documented{Config: "a"}},
		{name: "not allowed", args: []string{"--log-level=loud"}, want: documented{Config: "lb.yaml"}, err: "allowed is debug, info"},
		{name: "short", args: []string{"-l", "info"}, want: documented{Config: "lb.yaml", Level: "info"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got documented
			flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
			config.Bind(flags, &got)
			if err := flags.Parse(tt.args); err != nil {
				t.Fatal(err)
			}
			err := config.Load(flags, tt.environ, &got)
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got %v, want %q", err, tt.err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("settings (-want +got):\n%s", diff)
			}
			usage := flags.FlagUsages()
			if strings.Contains(usage, "log_level") || !strings.Contains(usage, "--config file") {
				t.Errorf("usage is\n%s", usage)
			}
		})
	}
}
