package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/countersign/countersign/internal/testbed"
)

// exposed are metrics, each with the names of the labels that its series have.
type exposed map[string]map[string]bool

// add takes in what a part answers at /metrics.
func (e exposed) add(text []byte) {
	for _, found := range regexp.MustCompile(`(?m)^# HELP (countersign_\w+)`).FindAllSubmatch(text, -1) {
		if e[string(found[1])] == nil {
			e[string(found[1])] = map[string]bool{"instance": true, "job": true} // which Prometheus adds
		}
	}
	label := regexp.MustCompile(`(\w+)="`)
	for _, found := range regexp.MustCompile(`(?m)^(countersign_\w+)\{([^}]*)\}`).FindAllSubmatch(text, -1) {
		for _, name := range label.FindAllSubmatch(found[2], -1) {
			e[family(string(found[1]), e)][string(name[1])] = true
		}
	}
}

// family is the metric of a series: that of a histogram's has a name of its own.
func family(series string, known exposed) string {
	for _, suffix := range []string{"", "_bucket", "_sum", "_count"} {
		if name := strings.TrimSuffix(series, suffix); known[name] != nil {
			return name
		}
	}
	return series
}

// docs/operations.md lists the metrics that a server, a gateway and a load balancer have, and no others; the alerts are about them.
func TestMetricsPage(t *testing.T) {
	t.Parallel()
	world := newSeeded(t, "mariadb")
	server := startServer(t, world.Settings("token-store="+testbed.Redis(t).URL())...)
	presented := token(t, server.Issuer, world.Caller, asking(opaqueAPI, ""))
	server.Stop(t)
	server.Start(t) // it has not seen the token, and asks Redis
	token(t, server.Issuer, world.Caller, asking(opaqueAPI, ""))
	upstream := startUpstreamProcess(t)
	pool := fmt.Sprintf("{targets: [{url: %q}], health: {mode: tcp}, breaker: {failure_percent: 50}}", upstream.Addr)
	gateway := startGateway(t, issuerPart(server.Issuer, world.Server)+"pools: {echo: "+pool+"}\n"+
		"routes: [{name: all, match: {prefix: /}, authentication: introspect, audience: "+opaqueAPI+", pool: echo}]\n")
	balancer := startLB(t, "pool: echo", "echo: "+pool)
	if got, err := call(t.Context(), "GET", gateway.URL+"/", presented); err != nil || got.Status != 200 {
		t.Fatalf("%d %s %v", got.Status, got.Body, err)
	}
	if got, err := get(t.Context(), "http://"+balancer.Address+"/"); err != nil || got.Status != 200 {
		t.Fatalf("%d %s %v", got.Status, got.Body, err)
	}
	all := exposed{}
	testbed.Wait(t, startWithin, func() error {
		for _, admin := range []string{server.AdminURL, gateway.AdminURL, balancer.AdminURL} {
			got, err := get(t.Context(), admin+"/metrics")
			if err != nil {
				return err
			}
			all.add(got.Body)
		}
		return all.compare(t)
	})
	all.checkAlerts(t)
}

// compare tells how the page and what is exposed differ.
func (e exposed) compare(t *testing.T) error {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, found := range regexp.MustCompile("`(countersign_\\w+)").FindAllSubmatch(page, -1) {
		named[string(found[1])] = true
	}
	var differences []string
	for name := range e {
		if !named[name] {
			differences = append(differences, "not on the page: "+name)
		}
	}
	for name := range named {
		if e[name] == nil {
			differences = append(differences, "on the page alone: "+name)
		}
	}
	if slices.Sort(differences); len(differences) > 0 {
		return fmt.Errorf("%s", strings.Join(differences, ", "))
	}
	return nil
}

// checkAlerts checks that the rules are complete, and about metrics and labels that there are.
func (e exposed) checkAlerts(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "deploy", "prometheus", "alerts.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	decoder := yaml.NewDecoder(strings.NewReader(string(text)))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil {
		t.Fatal(err)
	}
	rules := 0
	selector, label := regexp.MustCompile(`(countersign_\w+)(?:\{([^}]*)\})?`), regexp.MustCompile(`(\w+)(?:=|!)`)
	for _, group := range file.Groups {
		for _, rule := range group.Rules {
			rules++
			if severity := rule.Labels["severity"]; rule.Alert == "" || severity != "page" && severity != "ticket" || rule.Annotations["summary"] == "" || rule.Annotations["runbook"] == "" {
				t.Errorf("%s: the rule %q lacks something", group.Name, rule.Alert)
			}
			for _, found := range selector.FindAllStringSubmatch(rule.Expr, -1) {
				labels := e[family(found[1], e)]
				if labels == nil {
					t.Errorf("%s: there is no metric %s", rule.Alert, found[1])
				}
				for _, name := range label.FindAllStringSubmatch(found[2], -1) {
					if !labels[name[1]] {
						t.Errorf("%s: %s has no label %s", rule.Alert, found[1], name[1])
					}
				}
			}
		}
	}
	if rules == 0 {
		t.Error("there are no rules")
	}
}
