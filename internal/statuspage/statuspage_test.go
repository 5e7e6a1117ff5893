package statuspage_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/internal/statuspage"
)

func noon() time.Time { return time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC) }

func page() statuspage.Page {
	return statuspage.Page{Title: "Load balancer", Sections: []statuspage.Section{
		{Key: "configuration", Title: "Configuration", Facts: []statuspage.Fact{
			{"file", "File", "/etc/countersign/lb.yaml"},
			{"loaded", "Loaded", noon().Add(-90 * time.Minute)},
			{"last_refused", "Last refused", time.Time{}},
			{"refused", "Refused because", ""},
			{"draining", "Draining", false},
			{"most", "At most", statuspage.Said{Value: 0, Text: "any number"}},
			{"state", "State", statuspage.State{Text: "in force", Mood: statuspage.Good}},
		}},
		{
			Key: "upstreams", Title: "Upstreams",
			Columns: []statuspage.Column{{"pool", "Pool"}, {"address", "Address"}, {"state", "State"}, {"in_flight", "In flight"}, {"since", "Since"}, {"interval", "Interval"}},
			Rows: [][]any{
				{"auth", "http://127.0.0.1:9001", statuspage.State{Text: "up", Mood: statuspage.Good}, 1234567, noon().Add(-50 * time.Hour), time.Second},
				{"auth", `<script>alert("x")</script>`, statuspage.State{Text: "down", Mood: statuspage.Bad}, 0, noon().Add(-30 * time.Second), 250 * time.Millisecond},
				{"auth", "http://127.0.0.1:9003", statuspage.State{Text: "ejected", Mood: statuspage.Warn}, -1234, noon().Add(time.Hour), time.Duration(0)},
			},
		},
		{Key: "routes", Title: "Routes", Columns: []statuspage.Column{{"name", "Name"}}, Empty: "There are none."},
	}}
}

func ask(t *testing.T, target string, accept ...string) *httptest.ResponseRecorder {
	t.Helper()
	handler := statuspage.Handler(func(context.Context) statuspage.Page { return page() }, noon)
	request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	request.Header["Accept"] = accept
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, request)
	return answer
}

var update = flag.Bool("update", false, "write the golden files") //nolint:gochecknoglobals // a flag of the test

func TestGolden(t *testing.T) {
	for name, target := range map[string]string{"page.html": "/status?format=html", "page.json": "/status?format=json"} {
		t.Run(name, func(t *testing.T) {
			got := ask(t, target).Body.String()
			file := "testdata/" + name
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", file, diff)
			}
		})
	}
}

func TestForm(t *testing.T) {
	const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
	for _, tt := range []struct {
		name, target string
		accept       []string
		html         bool
	}{
		{"a browser", "/status", []string{browser}, true},
		{"a browser that asks for JSON", "/status?format=json", []string{browser}, false},
		{"a program", "/status", []string{"*/*"}, false},
		{"nothing said", "/status", nil, false},
		{"JSON", "/status", []string{"application/json"}, false},
		{"JSON preferred", "/status", []string{"text/html;q=0.5, application/json"}, false},
		{"HTML preferred", "/status", []string{"application/json;q=0.5", "text/html"}, true},
		{"no HTML", "/status", []string{"text/html;q=0"}, false},
		{"HTML asked for", "/status?format=html", nil, true},
		{"nonsense", "/status?format=x", []string{";;,text/html;q=x"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := ask(t, tt.target, tt.accept...).Header().Get("Content-Type")
			if strings.HasPrefix(got, "text/html") != tt.html {
				t.Errorf("got %s", got)
			}
		})
	}
}

// A wrong hash would have browsers drop the style, and a wrong escape run what an upstream is called.
func TestNothingIsLoadedOrRun(t *testing.T) {
	answer := ask(t, "/status?format=html")
	body := answer.Body.String()
	_, style, _ := strings.Cut(body, "<style>")
	style, _, found := strings.Cut(style, "</style>")
	sum := sha256.Sum256([]byte(style))
	want := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	if got := answer.Header().Get("Content-Security-Policy"); !found || got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if strings.Contains(body, "<script") || strings.Contains(body, " style=") || strings.Contains(body, "ZgotmplZ") {
		t.Error("there is what must not be there")
	}
	for name, want := range map[string]string{"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"} {
		if got := answer.Header().Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

type unprintable struct{}

func (unprintable) MarshalText() ([]byte, error) { return nil, errors.New("cannot") }

func TestWhatCannotBeRendered(t *testing.T) {
	handler := statuspage.Handler(func(context.Context) statuspage.Page {
		return statuspage.Page{Sections: []statuspage.Section{{Key: "a", Facts: []statuspage.Fact{{"a", "A", unprintable{}}}}}}
	}, noon)
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/status", nil))
	if answer.Code != http.StatusInternalServerError {
		t.Errorf("got %d", answer.Code)
	}
}
