package api_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/countersign/countersign/admin/wire"
)

// open reads something for which no token is needed.
func (w *world) open(path string) reply {
	w.Helper()
	got := w.send(call{method: http.MethodGet, path: path, header: header("Authorization", "")})
	if got.status != http.StatusOK {
		w.Fatalf("%s: %d %s", path, got.status, got.body)
	}
	return got
}

func TestDocumentIsServedInTwoVersions(t *testing.T) {
	w := newWorld(t)
	for path, version := range map[string]string{"/openapi.json": "3.1.0", "/openapi-3.0.json": "3.0.3"} {
		got := w.open(path)
		var document struct {
			OpenAPI    string
			Paths      map[string]any
			Components struct {
				Schemas         map[string]any
				SecuritySchemes map[string]struct {
					Flows struct {
						ClientCredentials struct {
							TokenURL string
							Scopes   map[string]string
						}
					}
				}
			}
		}
		w.check(json.Unmarshal(got.body, &document))
		flow := document.Components.SecuritySchemes["oauth2"].Flows.ClientCredentials
		if document.OpenAPI != version || len(document.Paths) != len(w.seen.paths) || flow.TokenURL != "http://127.0.0.1/oauth2/token" || len(flow.Scopes) != len(allScopes()) {
			t.Errorf("%s: version %s, %d paths, tokens from %q", path, document.OpenAPI, len(document.Paths), flow.TokenURL)
		}
		if document.Components.Schemas["ErrorModel"] != nil || document.Components.Schemas["Problem"] == nil {
			t.Errorf("%s describes errors that are not ours", path)
		}
	}
}

// Every example of a body can be sent as it is: it fits its schema.
func TestExamplesFitTheirSchemas(t *testing.T) {
	w := newWorld(t)
	examples := 0
	w.operations(func(id string, op map[string]any, _ func() call) {
		contents := []map[string]any{object(object(op["requestBody"])["content"])}
		for _, answer := range object(op["responses"]) {
			contents = append(contents, object(object(answer)["content"]))
		}
		for _, content := range contents {
			for mediaType, described := range content {
				example := object(described)["example"]
				if example == nil && mediaType != "application/jsonl" {
					t.Errorf("%s has no example of %s", id, mediaType)
				}
				for _, wrong := range w.seen.wrong(object(described)["schema"], example, "") {
					if mediaType != "application/jsonl" {
						t.Errorf("%s: %s", id, wrong)
					}
				}
				examples++
			}
		}
		for _, given := range []string{"summary", "description"} {
			if text, _ := op[given].(string); text == "" {
				t.Errorf("%s has no %s", id, given)
			}
		}
	})
	if examples == 0 {
		t.Error("nothing was looked at")
	}
}

// The reference page shows every operation, runs no script and asks no other host.
func TestReferencePage(t *testing.T) {
	w := newWorld(t)
	got := w.open("/docs")
	page := string(got.body)
	w.operations(func(id string, _ map[string]any, _ func() call) {
		if !strings.Contains(page, `<article id="`+id+`">`) || !strings.Contains(page, `href="#`+id+`"`) {
			t.Errorf("%s is not shown", id)
		}
	})
	for _, forbidden := range []string{"<script", "javascript:", " style=", "@import", "url(", " src=", "<link", "<iframe", "ZgotmplZ"} {
		if strings.Contains(page, forbidden) {
			t.Errorf("the page has %q", forbidden)
		}
	}
	ids := map[string]bool{}
	for _, id := range regexp.MustCompile(` id="([^"]+)"`).FindAllStringSubmatch(page, -1) {
		if ids[id[1]] {
			t.Errorf("the id %s is there twice", id[1])
		}
		ids[id[1]] = true
	}
	for _, link := range regexp.MustCompile(`href="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if target, ok := strings.CutPrefix(link[1], "#"); ok && !ids[target] || !ok && !strings.HasPrefix(link[1], wire.Base+"/") {
			t.Errorf("a link goes to %s", link[1])
		}
	}
	_, css, _ := strings.Cut(page, "<style>")
	css, _, _ = strings.Cut(css, "</style>")
	sum := sha256.Sum256([]byte(css))
	policy := got.header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'; style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"';") {
		t.Errorf("the policy %q does not allow the page's own style", policy)
	}
}
