package e2e

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestTraefikFile looks at as much of the file as can be without Traefik: its form, and which headers it takes away.
func TestTraefikFile(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../deploy/traefik/dynamic.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		HTTP struct {
			Middlewares map[string]struct {
				ForwardAuth struct {
					Address             string
					TrustForwardHeader  bool     `yaml:"trustForwardHeader"`
					AuthRequestHeaders  []string `yaml:"authRequestHeaders"`
					AuthResponseHeaders string   `yaml:"authResponseHeadersRegex"`
				} `yaml:"forwardAuth"`
			}
		}
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	asks := file.HTTP.Middlewares["countersign"].ForwardAuth
	if asks.Address != "http://"+deployedGateway+"/authorize" || asks.TrustForwardHeader || strings.Join(asks.AuthRequestHeaders, " ") != "Authorization" {
		t.Errorf("%+v", asks)
	}
	taken, err := regexp.Compile(asks.AuthResponseHeaders)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(identityNames(), "X-Request-Id") {
		for _, spelled := range []string{name, strings.ToLower(name), strings.ToUpper(name), strings.ReplaceAll(name, "-", "_"), strings.Replace(name, "-", ".", 1)} {
			if !taken.MatchString(spelled) {
				t.Errorf("%s is not taken away", spelled)
			}
		}
	}
	for _, name := range []string{"Authorization", "X-Client-Version", "X-Forwarded-For", "Max-Client-Id"} {
		if taken.MatchString(name) {
			t.Errorf("%s is taken away", name)
		}
	}
}
