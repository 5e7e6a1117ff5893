package document_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/internal/document"
)

// config has every kind of member.
type config struct {
	common

	Routes    []route                     `yaml:"routes"`
	Pools     map[string]pool             `yaml:"pools" help:"The pools by name."`
	Health    health                      `yaml:"health"`
	Admin     *health                     `yaml:"admin"`
	Trusted   []netip.Prefix              `yaml:"trusted" default:"[127.0.0.0/8]"`
	Labels    map[string]string           `yaml:"labels"`
	Key       string                      `yaml:"key" secret:"true" oneof:"open|sesame"`
	PIN       int                         `yaml:"pin" secret:"true" max:"9999"`
	Proof     *netip.Addr                 `yaml:"proof" secret:"true"`
	Codes     []string                    `yaml:"codes" secret:"true"`
	Limits    map[string]*int             `yaml:"limits" min:"1"`
	Nested    map[string][]*document.Size `yaml:"nested"`
	Forgotten string
}

type common struct {
	Listen string `yaml:"listen" default:":8080" help:"Where to listen."`
}

type route struct {
	Pool     string        `yaml:"pool" required:"true" help:"The pool that requests go to."`
	Methods  []string      `yaml:"methods" oneof:"GET|HEAD|POST" default:"[GET, HEAD]"`
	Mode     string        `yaml:"mode" oneof:"strict|available" default:"available"`
	Timeouts timeouts      `yaml:"timeouts"`
	Retry    *bool         `yaml:"retry"`
	Body     document.Size `yaml:"body" default:"1MiB" min:"1KiB" max:"1GiB"`
}

type timeouts struct {
	Response time.Duration `yaml:"response" default:"30s" min:"1ms" max:"1h"`
	Idle     time.Duration `yaml:"idle"`
}

type pool struct {
	Targets []target `yaml:"targets" required:"true"`
	Ratio   float64  `yaml:"ratio" default:"0.5" min:"0" max:"1"`
	Port    uint16   `yaml:"port" min:"1"`
	Health  health   `yaml:"health"`
}

type target struct {
	URL    string `yaml:"url" required:"true"`
	Weight int    `yaml:"weight" default:"1" min:"1" max:"100"`
	Backup bool   `yaml:"backup"`
}

type health struct {
	Path     string        `yaml:"path" default:"/readyz"`
	Interval time.Duration `yaml:"interval" default:"1s"`
}

func absentHealth() health { return health{Path: "/readyz", Interval: time.Second} }

func absentRoute(pool string) route {
	return route{Pool: pool, Methods: []string{"GET", "HEAD"}, Mode: "available", Timeouts: timeouts{Response: 30 * time.Second}, Body: 1 << 20}
}

func absent() config {
	return config{common: common{Listen: ":8080"}, Health: absentHealth(), Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
}

func TestDecode(t *testing.T) {
	t.Parallel()
	yes, three, kilo := true, 3, document.Size(1024)
	for _, tt := range []struct {
		name, text string
		want       func(*config)
	}{
		{"defaults", `{}`, func(*config) {}},
		{"a byte order mark, and comments", "\ufeff# first\n{} # last\n", func(*config) {}},
		{"a member of an embedded struct", `listen: "127.0.0.1:80"`, func(c *config) { c.Listen = "127.0.0.1:80" }},
		{"a list takes defaults by item", "routes:\n- pool: a\n- pool: b\n", func(c *config) { c.Routes = []route{absentRoute("a"), absentRoute("b")} }},
		{"a struct that is there takes defaults", "health: {path: /}", func(c *config) { c.Health.Path = "/" }},
		{"a pointer to a struct takes defaults once it is there", "admin: {}", func(c *config) { h := absentHealth(); c.Admin = &h }},
		{"every scalar", `routes: [{pool: a, methods: [POST], mode: strict, timeouts: {response: 1m30s, idle: 1.5s}, retry: true, body: 64KiB}]`, func(c *config) {
			c.Routes = []route{{Pool: "a", Methods: []string{"POST"}, Mode: "strict", Timeouts: timeouts{90 * time.Second, 1500 * time.Millisecond}, Retry: &yes, Body: 65536}}
		}},
		{"numbers", `pools: {a: {targets: [{url: x, weight: 100, backup: True}], ratio: 1e-1, port: 65535}}`, func(c *config) {
			c.Pools = map[string]pool{"a": {Targets: []target{{"x", 100, true}}, Ratio: 0.1, Port: 65535, Health: absentHealth()}}
		}},
		{"a list takes the place of its default", `trusted: []`, func(c *config) { c.Trusted = []netip.Prefix{} }},
		{"a date is a text", `listen: 2026-01-02`, func(c *config) { c.Listen = "2026-01-02" }},
		{"so is a tagged number", `listen: !!str 8080`, func(c *config) { c.Listen = "8080" }},
		{"pointers in maps and lists", "limits: {a: 3}\nnested: {b: [1KiB]}", func(c *config) {
			c.Limits, c.Nested = map[string]*int{"a": &three}, map[string][]*document.Size{"b": {&kilo}}
		}},
		{"JSON", `{"labels": {"a.b": "c", "8080": "d"}}`, func(c *config) { c.Labels = map[string]string{"a.b": "c", "8080": "d"} }},
		{"anchors", "routes: [&first {pool: a}, *first]", func(c *config) { c.Routes = []route{absentRoute("a"), absentRoute("a")} }},
		{"merge keys, of which the earlier one wins", "health: &h {path: /a, interval: 2s}\nadmin: {<<: [{path: /b}, *h]}", func(c *config) {
			c.Health, c.Admin = health{"/a", 2 * time.Second}, &health{"/b", 2 * time.Second}
		}},
		{"what stands there itself wins over merged entries", "health: &h {path: /a, interval: 2s}\nadmin: {<<: *h, path: /b}", func(c *config) {
			c.Health, c.Admin = health{"/a", 2 * time.Second}, &health{"/b", 2 * time.Second}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			want := absent()
			tt.want(&want)
			got := config{Forgotten: "what was there before"}
			if _, err := document.Decode("gateway.yaml", []byte(tt.text), &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(config{}), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSource(t *testing.T) {
	t.Parallel()
	text := "routes:\n- pool: a\n- mode: strict\n  pool: b\n  timeouts:\n    response: 1s\npools:\n  a.b:\n    targets: [{url: x}]\n"
	var got config
	source, err := document.Decode("gateway.yaml", []byte(text), &got)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, path, want string }{
		{"a member", "routes[1].pool", "gateway.yaml:4: routes[1].pool: is bad"},
		{"an item", "routes[1]", "gateway.yaml:3: routes[1]: is bad"},
		{"a mapping begins with its name", "routes[1].timeouts", "gateway.yaml:5: routes[1].timeouts: is bad"},
		{"an absent member is told by what is around it", "routes[1].timeouts.idle", "gateway.yaml:5: routes[1].timeouts.idle: is bad"},
		{"so is an absent item", "routes[7].pool", "gateway.yaml:1: routes[7].pool: is bad"},
		{"a name with a dot", "pools.a.b.targets[0].url", "gateway.yaml:9: pools.a.b.targets[0].url: is bad"},
		{"nothing around it", "health.path", "gateway.yaml: health.path: is bad"},
		{"the document", "", "gateway.yaml: is bad"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bad := errors.New("bad")
			if err := source.Errorf(tt.path, "is %w", bad); err.Error() != tt.want || !errors.Is(err, bad) {
				t.Errorf("%v, want %s", err, tt.want)
			}
			if place, _ := strings.CutSuffix(tt.want, ": is bad"); source.Place(tt.path) != place {
				t.Errorf("at %s, want %s", source.Place(tt.path), place)
			}
		})
	}
}

func TestSize_String(t *testing.T) {
	t.Parallel()
	for size, want := range map[document.Size]string{0: "0B", 1: "1B", 1024: "1KiB", 1025: "1025B", 3 << 20: "3MiB", 2 << 30: "2GiB"} {
		if got := size.String(); got != want {
			t.Errorf("%d: %s, want %s", size, got, want)
		}
	}
}
