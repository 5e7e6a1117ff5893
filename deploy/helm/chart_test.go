// Package helm_test looks at what the chart makes. Helm itself takes minutes to compile, so `make chart` renders the values of
// countersign/ci to golden/ (module charttest), and these tests read that: whether it is of the chart as it stands, whether its parts fit
// each other, and whether the programs take the configuration that it hands to them.
package helm_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const chart = "countersign"

// The golden files are of the chart as it stands.
func TestGoldenFilesAreCurrent(t *testing.T) {
	text, err := os.ReadFile("golden/SHA256SUMS")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		sum, path, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		listed[path] = true
		file, err := os.ReadFile(filepath.Join(chart, path))
		if err != nil {
			t.Error(err)
		}
		if fmt.Sprintf("%x", sha256.Sum256(file)) != sum {
			t.Errorf("%s changed since the golden files were made: run `make chart` and read what became of them", path)
		}
	}
	err = fs.WalkDir(os.DirFS(chart), ".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && path != "README.md" && !listed[path] {
			t.Errorf("%s is new since the golden files were made: run `make chart`", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// object is a manifest: the members that the tests look at, of all kinds together.
type object struct {
	Kind     string
	Metadata struct {
		Name        string
		Labels      map[string]string
		Annotations map[string]string
	}
	Data                         map[string]string
	AutomountServiceAccountToken *bool `yaml:"automountServiceAccountToken"`
	Spec                         spec
}

type spec struct {
	Type           string
	ClusterIP      string `yaml:"clusterIP"`
	Replicas       *int
	MaxUnavailable *int `yaml:"maxUnavailable"`
	MinReplicas    int  `yaml:"minReplicas"`
	MaxReplicas    int  `yaml:"maxReplicas"`
	Selector       yaml.Node
	PodSelector    selector                    `yaml:"podSelector"`
	ScaleTargetRef struct{ Kind, Name string } `yaml:"scaleTargetRef"`
	Strategy       struct {
		RollingUpdate struct {
			MaxUnavailable *int `yaml:"maxUnavailable"`
		} `yaml:"rollingUpdate"`
	}
	Template struct {
		Metadata struct{ Labels, Annotations map[string]string }
		Spec     pod
	}
	Ports   []servicePort
	Ingress []rule
	Egress  []rule
	Rules   []struct {
		HTTP struct {
			Paths []struct {
				Backend struct {
					Service struct {
						Name string
						Port struct{ Name string }
					}
				}
			}
		}
		BackendRefs []struct {
			Name string
			Port int
		} `yaml:"backendRefs"`
	}
	Endpoints []struct{ Port string }
}

type rule struct {
	Ports []struct{ Port yaml.Node }
	From  []yaml.Node
	To    []yaml.Node
}

type selector struct {
	MatchLabels map[string]string `yaml:"matchLabels"`
}

type servicePort struct {
	Name       string
	Port       int
	TargetPort string `yaml:"targetPort"`
}

type pod struct {
	ServiceAccountName            string `yaml:"serviceAccountName"`
	AutomountServiceAccountToken  *bool  `yaml:"automountServiceAccountToken"`
	EnableServiceLinks            *bool  `yaml:"enableServiceLinks"`
	TerminationGracePeriodSeconds int    `yaml:"terminationGracePeriodSeconds"`
	SecurityContext               struct {
		RunAsNonRoot   bool                  `yaml:"runAsNonRoot"`
		FSGroup        int                   `yaml:"fsGroup"`
		SeccompProfile struct{ Type string } `yaml:"seccompProfile"`
	} `yaml:"securityContext"`
	TopologySpreadConstraints []struct {
		LabelSelector selector `yaml:"labelSelector"`
	} `yaml:"topologySpreadConstraints"`
	Containers []container
	Volumes    []volume
}

type container struct {
	Name  string
	Image string
	Args  []string
	Env   []struct {
		Name      string
		Value     string
		ValueFrom yaml.Node `yaml:"valueFrom"`
	}
	Ports []struct {
		Name          string
		ContainerPort int `yaml:"containerPort"`
	}
	StartupProbe    probe `yaml:"startupProbe"`
	ReadinessProbe  probe `yaml:"readinessProbe"`
	LivenessProbe   probe `yaml:"livenessProbe"`
	Resources       struct{ Limits, Requests map[string]string }
	SecurityContext struct {
		AllowPrivilegeEscalation *bool `yaml:"allowPrivilegeEscalation"`
		ReadOnlyRootFilesystem   bool  `yaml:"readOnlyRootFilesystem"`
		Capabilities             struct{ Drop []string }
	} `yaml:"securityContext"`
	VolumeMounts []struct {
		Name      string
		MountPath string `yaml:"mountPath"`
		SubPath   string `yaml:"subPath"`
		ReadOnly  bool   `yaml:"readOnly"`
	} `yaml:"volumeMounts"`
}

type probe struct {
	HTTPGet struct{ Path, Port string } `yaml:"httpGet"`
}

type volume struct {
	Name      string
	ConfigMap *source `yaml:"configMap"`
	Secret    *source
	Projected struct {
		DefaultMode int `yaml:"defaultMode"`
		Sources     []struct{ Secret source }
	}
	EmptyDir *struct{} `yaml:"emptyDir"`
}

type source struct {
	Name        string
	SecretName  string `yaml:"secretName"`
	DefaultMode int    `yaml:"defaultMode"`
	Items       []struct{ Key, Path string }
}

// goldens returns the manifests that each values file renders to.
func goldens(t *testing.T) map[string][]object {
	t.Helper()
	paths, err := filepath.Glob(chart + "/ci/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	all := map[string][]object{}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".yaml")
		text, err := os.ReadFile("golden/" + name + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		decoder := yaml.NewDecoder(bytes.NewReader(text))
		for {
			var one object
			if err := decoder.Decode(&one); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			all[name] = append(all[name], one)
		}
	}
	return all
}

// ofKind returns the objects of a kind.
func ofKind(objects []object, kind string) (list []object) {
	for _, one := range objects {
		if one.Kind == kind {
			list = append(list, one)
		}
	}
	return list
}

// eachGolden calls check for what every values file renders to.
func eachGolden(t *testing.T, check func(t *testing.T, objects []object)) {
	t.Helper()
	for name, objects := range goldens(t) {
		t.Run(name, func(t *testing.T) { check(t, objects) })
	}
}
