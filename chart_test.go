package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"go.yaml.in/yaml/v3"
)

// The Helm chart calls commands that there are, by flags that they have. (What it configures is checked in deploy/helm.)
func TestChartCallsCommands(t *testing.T) {
	files, err := filepath.Glob("deploy/helm/golden/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	called := map[string]bool{}
	for _, file := range files {
		for _, args := range containerArgs(t, file) {
			cmd, rest, err := newRootCmd(environment{}).Find(args)
			if err != nil {
				t.Errorf("%s: %q: %v", file, args, err)
				continue
			}
			if err := cmd.ParseFlags(rest); err != nil || cmd.Flags().NArg() > 0 {
				t.Errorf("%s: %q: %v, arguments %q", file, args, err, cmd.Flags().Args())
			}
			called[cmd.CommandPath()] = true
		}
	}
	for _, want := range []string{"countersign server", "countersign gateway", "countersign lb", "countersign migrate up"} {
		if !called[want] {
			t.Errorf("the chart never calls %s", want)
		}
	}
}

// containerArgs returns the arguments of all containers in a file of manifests.
func containerArgs(t *testing.T, file string) (all [][]string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var manifest struct {
			Spec struct {
				Template struct {
					Spec struct {
						Containers []struct{ Args []string }
					}
				}
			}
		}
		if err := decoder.Decode(&manifest); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		for _, one := range manifest.Spec.Template.Spec.Containers {
			all = append(all, one.Args)
		}
	}
}
