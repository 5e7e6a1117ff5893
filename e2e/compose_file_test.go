package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const composeFolder = "../deploy"

// ownImage is how the compose file calls the image that the Dockerfile makes, and imageBinary its entrypoint.
const (
	ownImage    = "countersign:${COUNTERSIGN_VERSION:-dev}"
	imageBinary = "/usr/bin/countersign"
)

// compose is deploy/compose.yaml: what it uses of the Compose Specification, and nothing beside it.
type compose struct {
	Name     string                    `yaml:"name"`
	Service  any                       `yaml:"x-service"` // these three are what the others are made of
	Once     any                       `yaml:"x-once"`
	Ready    any                       `yaml:"x-ready"`
	Services map[string]composeService `yaml:"services"`
	Networks map[string]struct {
		Internal bool `yaml:"internal"`
	} `yaml:"networks"`
	Volumes map[string]struct{} `yaml:"volumes"`
}

type composeService struct {
	Image       string            `yaml:"image"`
	Build       any               `yaml:"build"`
	Restart     string            `yaml:"restart"`
	User        string            `yaml:"user"`
	ReadOnly    bool              `yaml:"read_only"`
	CapDrop     []string          `yaml:"cap_drop"`
	CapAdd      []string          `yaml:"cap_add"`
	SecurityOpt []string          `yaml:"security_opt"`
	NetworkMode string            `yaml:"network_mode"`
	Networks    composeNetworks   `yaml:"networks"`
	Ports       []string          `yaml:"ports"`
	Tmpfs       []string          `yaml:"tmpfs"`
	Volumes     []string          `yaml:"volumes"`
	Environment map[string]string `yaml:"environment"`
	Entrypoint  []string          `yaml:"entrypoint"`
	Command     []string          `yaml:"command"`
	StopGrace   string            `yaml:"stop_grace_period"`
	Healthcheck *struct {
		Test        []string `yaml:"test"`
		Interval    string   `yaml:"interval"`
		Timeout     string   `yaml:"timeout"`
		Retries     int      `yaml:"retries"`
		StartPeriod string   `yaml:"start_period"`
	} `yaml:"healthcheck"`
	DependsOn map[string]struct {
		Condition string `yaml:"condition"`
	} `yaml:"depends_on"`
}

// composeNetworks are the networks of a service with the names that it has there, in either form of the specification.
type composeNetworks map[string][]string

// UnmarshalYAML implements yaml.Unmarshaler.
func (n *composeNetworks) UnmarshalYAML(node *yaml.Node) error {
	*n = composeNetworks{}
	if node.Kind == yaml.SequenceNode {
		for _, name := range node.Content {
			(*n)[name.Value] = nil
		}
		return nil
	}
	var full map[string]struct {
		Aliases []string `yaml:"aliases"`
	}
	if err := node.Decode(&full); err != nil {
		return fmt.Errorf("decode networks: %w", err)
	}
	for name, one := range full {
		(*n)[name] = one.Aliases
	}
	return nil
}

func readCompose(t *testing.T) (file compose) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(composeFolder, "compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil {
		t.Fatal(err)
	}
	return file
}

// once reports whether the service is a step that ends.
func (s composeService) once() bool { return s.Restart == "no" }

// Every container has what keeps a break-in small, what it waits for exists and can happen, and no secret stands in the file.
func TestComposeHardened(t *testing.T) {
	t.Parallel()
	file := readCompose(t)
	for name, s := range file.Services {
		root := name == "prepare"
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Equal(s.SecurityOpt, []string{"no-new-privileges:true"}) ||
			root != (s.User != "65532:65532") || root != (len(s.CapAdd) > 0) || root != (s.NetworkMode == "none") {
			t.Errorf("%s may do more than it needs: %+v", name, s)
		}
		if !s.once() && (s.Restart != "unless-stopped" || s.Healthcheck == nil || s.Healthcheck.Test[0] != "CMD") {
			t.Errorf("%s is not started again, or nobody asks how it is", name)
		}
		for other, needs := range s.DependsOn {
			before, known := file.Services[other]
			if want := map[bool]string{true: "service_completed_successfully", false: "service_healthy"}[before.once()]; !known || needs.Condition != want {
				t.Errorf("%s waits for %s to be %q, want %q", name, other, needs.Condition, want)
			}
		}
		for _, mount := range s.Volumes {
			from, _, _ := strings.Cut(mount, ":")
			path, isFile := strings.CutPrefix(from, "./")
			_, known := file.Volumes[from]
			if _, err := os.Stat(filepath.Join(composeFolder, path)); isFile && err != nil || !isFile && !known {
				t.Errorf("%s mounts %s, which is not there", name, from)
			}
			if !s.once() && name != "mysql" && !strings.HasSuffix(mount, ":ro") {
				t.Errorf("%s may write to %s", name, mount)
			}
			if from == "ca" && name != "certificates" && !root {
				t.Errorf("%s has the key of the certificate authority", name)
			}
		}
		for variable := range s.Environment {
			if strings.Contains(variable, "PASSWORD") && !strings.HasSuffix(variable, "_FILE") {
				t.Errorf("%s has a password in its environment: %s", name, variable)
			}
		}
		for network := range s.Networks {
			if _, known := file.Networks[network]; !known {
				t.Errorf("%s is on network %s, which is not there", name, network)
			}
		}
		for _, port := range s.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s publishes %s to other machines", name, port)
			}
		}
	}
	if _, known := file.Services["redis"].Networks["data"]; !known || !file.Networks["data"].Internal {
		t.Error("Redis is not on an internal network")
	}
}
