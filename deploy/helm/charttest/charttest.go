// Package charttest renders the Helm chart of Countersign by Helm's own engine. It is a module apart, since Helm and the types of
// Kubernetes take minutes to compile: `make chart` runs it and keeps what it made in deploy/helm/golden, which the tests of
// deploy/helm look at in every run.
package charttest

import (
	"bytes"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
)

// Release is what `helm install` makes of a chart.
type Release struct {
	Manifests []string // one YAML document each, in the order of templates, without empty ones
	Notes     string
}

// Render renders the chart in folder with values over its defaults, as release `demo` in the namespace `identity`. Values are checked by the
// chart's schema before.
func Render(folder string, values map[string]any) (*Release, error) {
	chart, err := loader.Load(folder)
	if err != nil {
		return nil, fmt.Errorf("load chart: %w", err)
	}
	given, err := chartutil.ToRenderValues(chart, values, chartutil.ReleaseOptions{
		Name: "demo", Namespace: "identity", Revision: 1, IsInstall: true,
	}, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, fmt.Errorf("check values: %w", err)
	}
	rendered, err := engine.Engine{Strict: true}.Render(chart, given)
	if err != nil {
		return nil, fmt.Errorf("render chart: %w", err)
	}
	release := new(Release)
	for _, name := range slices.Sorted(maps.Keys(rendered)) {
		switch {
		case filepath.Base(name) == "NOTES.txt":
			release.Notes = rendered[name]
		default:
			release.Manifests = append(release.Manifests, documents(rendered[name])...)
		}
	}
	return release, nil
}

// documents takes the text of a template apart.
func documents(text string) (list []string) {
	for one := range strings.SplitSeq("\n"+text, "\n---") {
		if one = strings.TrimSpace(one); one != "" {
			list = append(list, one+"\n")
		}
	}
	return list
}

// YAML returns the manifests as one stream.
func (r *Release) YAML() []byte {
	var out bytes.Buffer
	for _, one := range r.Manifests {
		out.WriteString("---\n" + one)
	}
	return out.Bytes()
}
