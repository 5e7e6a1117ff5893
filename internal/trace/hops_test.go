package trace_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/internal/trace"
)

const token = "0000000000000000xYz123"

// began is when every request begins.
func began() time.Time { return time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC) }

// scene is the spans of one request, by what stands for their ids in a test.
type scene struct {
	root  trace.Span
	spans []trace.Span
}

// add adds a span that lasts from start to end, in microseconds from the beginning of the request. part is service/instance, what its kind
// and name or, of a server, path; attributes are key=value.
func (s *scene) add(id, parent, part, what string, start, end int, attributes ...string) { //nolint:revive // one line of a table
	service, instance, _ := strings.Cut(part, "/")
	kind, name, _ := strings.Cut(what, " ")
	one := trace.Span{
		TraceID: s.root.TraceID, ID: id, Parent: parent, Service: service, Instance: instance, Kind: kind, Name: name,
		Start: began().Add(time.Duration(start) * time.Microsecond), End: began().Add(time.Duration(end) * time.Microsecond),
		Attributes: map[string]string{},
	}
	if kind == "server" {
		one.Name = "GET"
		attributes = append(attributes, "url.path="+name, "http.response.status_code=200")
	}
	for _, a := range attributes {
		key, value, _ := strings.Cut(a, "=")
		one.Attributes[key] = value
	}
	s.spans = append(s.spans, one)
}

// warm is a request for which nobody has to ask anything.
func warm() *scene {
	s := &scene{root: trace.Span{TraceID: strings.Repeat("a", 32), ID: "user", Start: began(), End: began().Add(20 * time.Millisecond)}}
	s.add("entry", "user", "countersign-lb/lb", "server /orders", 200, 19_500)
	s.add("outer", "entry", "countersign-gateway/gateway-1", "server /orders", 700, 19_000, "countersign.route=orders")
	s.add("orders", "outer", "service-a/service-a", "server /orders", 1200, 18_500)
	s.add("call", "orders", "service-a/service-a", "client HTTP GET", 9000, 18_300)
	s.add("inner", "call", "countersign-lb/lb", "server /inventory/items", 9300, 18_200)
	s.add("check", "inner", "countersign-gateway/gateway-2", "server /inventory/items", 9800, 18_000, "countersign.token_id="+token)
	s.add("items", "check", "service-b/service-b", "server /inventory/items", 14_000, 17_500)
	return s
}

// cold is one for which everybody has to. store is the system of the token store.
func cold(store string) *scene {
	s := warm()
	s.root.TraceID = strings.Repeat("c", 32)
	s.add("token", "orders", "service-a/service-a", "client countersign.token", 1500, 8500)
	s.add("post", "token", "service-a/service-a", "client HTTP POST", 1600, 8400)
	s.add("issuer", "post", "countersign-lb/lb", "server /oauth2/token", 2000, 8300)
	s.add("served", "issuer", "countersign-server/auth-1", "server /oauth2/token", 2400, 8100)
	s.add("insert", "served", "countersign-server/auth-1", "client INSERT tokens", 3000, 7300,
		"db.system.name=sqlite", "db.operation.batch.size=1", "countersign.token_id="+token)
	s.add("set", "served", "countersign-server/auth-1", "internal SET token_store", 7500, 7512,
		"db.system.name="+store, fmt.Sprintf("countersign.off_path=%v", store == "redis"))
	s.add("asks", "check", "countersign-gateway/gateway-2", "client countersign.introspect", 10_000, 13_000)
	s.add("asked", "asks", "countersign-lb/lb", "server /oauth2/introspect", 10_200, 12_800)
	s.add("told", "asked", "countersign-server/auth-2", "server /oauth2/introspect", 10_500, 12_500, "countersign.lookup=database")
	if store == "redis" {
		s.add("look", "items", "service-b/service-b", "client countersign.token_store", 14_200, 14_600, "countersign.result=hit", "countersign.token_id="+token)
		return s
	}
	s.add("question", "items", "service-b/service-b", "client countersign.introspect", 14_200, 17_000, "countersign.token_id="+token)
	s.add("passed", "question", "countersign-lb/lb", "server /oauth2/introspect", 14_400, 16_900)
	s.add("answer", "passed", "countersign-server/auth-1", "server /oauth2/introspect", 14_700, 16_800, "countersign.lookup=memory")
	return s
}

// without is the scene without some spans.
func (s *scene) without(ids ...string) *scene {
	s.spans = slices.DeleteFunc(s.spans, func(one trace.Span) bool { return slices.Contains(ids, one.ID) })
	return s
}

// plain leaves texts as they are.
type plain struct{}

func (plain) Strong(text string) string { return text }
func (plain) Faint(text string) string  { return text }

// What is printed of both kinds of store is in testdata.
func TestPrint(t *testing.T) {
	for _, store := range []string{"in_process", "redis"} {
		t.Run(store, func(t *testing.T) {
			var out strings.Builder
			first, second := cold(store), warm()
			left, right := trace.Assemble(first.root, first.spans, true), trace.Assemble(second.root, second.spans, false)
			left.Status, right.Status = 200, 200
			if err := trace.Print(&out, plain{}, left, right); err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile(filepath.Join("testdata", store+".txt"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), out.String()); diff != "" {
				t.Errorf("%s\nprinted:\n%s", diff, out.String())
			}
			if !left.Asked || right.Asked {
				t.Errorf("asked an authorization server: cold %v, warm %v", left.Asked, right.Asked)
			}
		})
	}
}

// A span that is missing is named, and no hop is told from what is left.
func TestMissing(t *testing.T) {
	for _, tt := range []struct {
		name  string
		scene *scene
		cold  bool
		want  string
	}{
		{"nothing came yet", warm().without("entry", "outer", "orders", "call", "inner", "check", "items"), false, "load balancer's, of the user's"},
		{"service B", warm().without("items"), false, "service-b's"},
		{"outer gateway", warm().without("outer"), false, "the gateway's, of the user's request"},
		{"token", warm(), true, "its question for a token"},
		{"commit", cold("redis").without("insert"), true, "write to the database"},
		{"token store", cold("redis").without("set"), true, "write to the token store"},
		{"gateway's answer", cold("redis").without("told"), true, "of the gateway's question"},
		{"service B's answer", cold("in_process").without("answer"), true, "of service B's question"},
		{"a link", cold("in_process").without("post"), true, "authorization server's, of service A's question"},
		{"a client's span", warm().without("call"), false, "service A's request"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := trace.Assemble(tt.scene.root, tt.scene.spans, tt.cold)
			if !strings.Contains(strings.Join(got.Missing, "; "), tt.want) || len(got.Hops) != 0 {
				t.Errorf("missing: %q, hops: %v; want %q", got.Missing, got.Hops, tt.want)
			}
		})
	}
	orphan := warm()
	orphan.add("late", "unknown", "service-b/service-b", "client countersign.jwks", 15_000, 15_500)
	if got := trace.Assemble(orphan.root, orphan.spans, false); len(got.Missing) != 1 {
		t.Errorf("missing: %q, want the parent of a span", got.Missing)
	}
}

// Redis that was not asked is not the same as none.
func TestStoreNotAsked(t *testing.T) {
	s := cold("in_process")
	for i := range s.spans {
		if s.spans[i].ID == "set" {
			s.spans[i].Attributes["db.system.name"] = "redis"
		}
	}
	for _, h := range trace.Assemble(s.root, s.spans, true).Hops {
		if h.Number == 9 && !strings.Contains(h.What, "not asked") {
			t.Errorf("hop 9 says %q", h.What)
		}
	}
}
