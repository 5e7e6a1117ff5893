package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/countersign/countersign/internal/config"
	"github.com/countersign/countersign/server/instance"
)

// The example in deploy/ is read as the server would read it, as it stands and with everything in it switched on.
func TestExampleSettings(t *testing.T) {
	text, err := os.ReadFile("deploy/server.yaml")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	for _, name := range []string{"database", "token-store"} {
		if err := os.WriteFile(folder+"/"+name, []byte("planted "+name+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	whole := strings.ReplaceAll(string(text), "/etc/countersign", folder)
	for name, text := range map[string]string{
		"as it stands": whole,
		"switched on":  regexp.MustCompile(`(?m)^# ([a-z_]+: .*)$`).ReplaceAllString(whole, "$1"),
	} {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir() + "/server.yaml"
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			var got instance.Settings
			flags := pflag.NewFlagSet("server", pflag.ContinueOnError)
			config.Bind(flags, &got)
			if err := config.Load(flags, []string{"COUNTERSIGN_CONFIG=" + path}, &got); err != nil {
				t.Fatal(err)
			}
			want := instance.DefaultSettings()
			if got.Database != "planted database" || got.TokenStore != "planted token-store" || got.Issuer != "https://auth.example.com" || got.DrainTimeout != want.DrainTimeout || got.KeyRotation != want.KeyRotation || got.LogLevel != want.LogLevel || !got.Migrate {
				t.Errorf("settings are %+v", got)
			}
		})
	}
}

// Every setting is in the example.
func TestExampleIsComplete(t *testing.T) {
	text, err := os.ReadFile("deploy/server.yaml")
	if err != nil {
		t.Fatal(err)
	}
	flags := pflag.NewFlagSet("server", pflag.ContinueOnError)
	config.Bind(flags, &instance.Settings{})
	flags.VisitAll(func(flag *pflag.Flag) {
		key := strings.ReplaceAll(flag.Name, "-", "_")
		if flag.Name == "config" || strings.HasSuffix(flag.Name, "-file") && flags.Lookup(strings.TrimSuffix(flag.Name, "-file")) != nil {
			return
		}
		if !regexp.MustCompile(`(?m)^(# )?` + key + `(_file)?:`).Match(text) {
			t.Errorf("deploy/server.yaml does not show %s", key)
		}
	})
}
