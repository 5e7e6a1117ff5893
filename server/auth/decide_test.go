package auth_test

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

func TestDecide(t *testing.T) {
	for _, tt := range []struct {
		name     string
		resource []string
		scope    string
		change   func(*world)
		api      string
		got      string
		err      error
	}{
		{name: "asks for nothing, gets the whole grant of the default", api: "https://stock.example", got: "read write"},
		{name: "asks for less", scope: "read", api: "https://stock.example", got: "read"},
		{name: "order and repetition", scope: "write read read", api: "https://stock.example", got: "read write"},
		{name: "asks for more than the grant", scope: "read admin", err: fault.InvalidScope},
		{name: "asks for what no API offers", scope: "fly", err: fault.InvalidScope},
		{name: "asks with a byte outside the grammar", scope: `re"ad`, err: fault.InvalidScope},
		{name: "names a resource", resource: []string{"https://prices.example"}, api: "https://prices.example", got: "read"},
		{name: "names it twice", resource: []string{"https://prices.example", "https://prices.example"}, api: "https://prices.example", got: "read"},
		{name: "names it emptily", resource: []string{""}, api: "https://stock.example", got: "read write"},
		{name: "scope of another resource", resource: []string{"https://prices.example"}, scope: "write", err: fault.InvalidScope},
		{name: "two resources", resource: []string{"https://prices.example", "https://stock.example"}, err: fault.InvalidTarget},
		{name: "relative", resource: []string{"/stock"}, err: fault.InvalidTarget},
		{name: "fragment", resource: []string{"https://stock.example#x"}, err: fault.InvalidTarget},
		{name: "unknown", resource: []string{"https://unknown.example"}, err: fault.InvalidTarget},
		{name: "a longer path of a granted one", resource: []string{"https://stock.example/sub"}, err: fault.InvalidTarget},
		{name: "known, not granted", resource: []string{"https://served.example"}, err: fault.InvalidTarget},
		{name: "no default", change: func(w *world) { w.record().Client.DefaultResource = auth.APIID{} }, err: fault.InvalidTarget},
		{name: "default whose grant is gone", change: func(w *world) { delete(w.record().Grants, w.stock.ID) }, err: fault.InvalidTarget},
		{name: "the server itself, of one that serves an API", resource: []string{auth.ServerAPI}, api: auth.ServerAPI},
		{name: "and asks for a scope there", resource: []string{auth.ServerAPI}, scope: auth.ScopeIntrospectAll, err: fault.InvalidScope},
		{
			name: "and has a grant there", resource: []string{auth.ServerAPI}, api: auth.ServerAPI, got: auth.ScopeRevokeAll,
			change: func(w *world) {
				server := w.APIByIdentifier(auth.ServerAPI).ID
				w.record().Grants[server] = &auth.Grant{Client: w.client, API: server, Scopes: auth.NewScopes(auth.ScopeRevokeAll)}
			},
		},
		{name: "and serves none", resource: []string{auth.ServerAPI}, change: func(w *world) { w.record().Serves = nil }, err: fault.InvalidTarget},
		{name: "administration, of one that serves an API", resource: []string{auth.AdminAPI}, err: fault.InvalidTarget},
		{name: "client deleted meanwhile", change: func(w *world) { delete(w.clients, w.client) }, err: fault.InvalidClient},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			for _, own := range []string{auth.ServerAPI, auth.AdminAPI} {
				w.apis = append(w.apis, &auth.API{
					ID: auth.NewAPIID(start), Identifier: own, Format: auth.JWT, Lifetime: time.Hour,
					Scopes: []auth.ScopeDefinition{{Name: auth.ScopeIntrospectAll}, {Name: auth.ScopeRevokeAll}},
				})
			}
			caller := &auth.Caller{Client: w.record().Client, Credential: w.record().Secrets[1].ID}
			if tt.change != nil {
				tt.change(w)
			}
			d, err := auth.Decide(w, auth.TokenRequest{Caller: caller, Resource: tt.resource, Scope: tt.scope}, w.Sequence())
			if !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if err == nil && (d.API.Identifier != tt.api || d.Scope != tt.got || d.Revision != 41 || d.Credential != caller.Credential) {
				t.Errorf("decision is %+v", d)
			}
		})
	}
}

// A token is remembered for as long as it lives; its request, of up to 64 KiB, is not to be kept with it.
func TestDecisionsKeepNothingOfTheRequest(t *testing.T) {
	w, exchange := exchangeable()
	body := strings.Repeat("read ", 1000)
	exchange.Scope = body[:len("read")]
	exchanged, err := auth.DecideExchange(w, *exchange, 41, w.now)
	if err != nil {
		t.Fatal(err)
	}
	exchange.Resource = nil
	decided, err := auth.Decide(w, exchange.TokenRequest, w.Sequence())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []*auth.Decision{decided, exchanged} {
		if d.Scope != "read" || unsafe.StringData(d.Scope) == unsafe.StringData(body) {
			t.Errorf("scope %q is a part of the request: %v", d.Scope, d)
		}
	}
}

func TestDecisionToken(t *testing.T) {
	w := newWorld()
	d := &auth.Decision{Client: w.client, API: w.stock, Scope: "read", Revision: 7}
	token := d.Token(w.now)
	if token.Issued.Nanosecond() != 0 || !token.Issued.Equal(start.Truncate(time.Second)) || token.Expires.Sub(token.Issued) != time.Hour || token.Revision != 7 {
		t.Errorf("token is %+v", token)
	}
	if other := d.Token(w.now); other.ID == token.ID {
		t.Error("two tokens share an id")
	}
}
