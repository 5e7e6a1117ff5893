//go:build long

package registry_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
)

// large is a document with n clients of five grants each, on 100 APIs.
func large(n int) *registry.Document {
	doc := &registry.Document{}
	for i := range 100 {
		doc.APIs = append(doc.APIs, registry.DeclaredAPI{
			Identifier: fmt.Sprintf("https://api-%d.example", i), Name: fmt.Sprint("API ", i), Scopes: []auth.ScopeDefinition{{Name: "read"}, {Name: "write"}},
			Servers: []string{fmt.Sprint("client-", i)},
		})
	}
	for i := range n {
		c := registry.DeclaredClient{Name: fmt.Sprint("client-", i), Owner: fmt.Sprint("team-", i%50), Labels: map[string]string{"env": "prod"}}
		for g := range 5 {
			c.Grants = append(c.Grants, registry.DeclaredGrant{API: fmt.Sprintf("https://api-%d.example", (i+g*7)%100), Scopes: []string{"read", "write"}})
		}
		doc.Clients = append(doc.Clients, c)
	}
	return doc
}

// 10,000 clients with 50,000 grants are one document. The bounds are generous, since SQLite runs under the race
// detector here: they catch what grows with the square of the number of clients, not a slow machine.
func TestLargeDocument(t *testing.T) {
	onEachWorld(t, func(w world) {
		doc := large(10_000)
		within := func(name string, bound time.Duration, do func()) {
			start := time.Now()
			do()
			w.Logf("%s: %v", name, time.Since(start))
			if took := time.Since(start); took > bound {
				w.Errorf("%s takes %v", name, took)
			}
		}
		within("plan all", 20*time.Second, func() { w.plan(doc, false) })
		within("apply all", 3*time.Minute, func() { w.apply(doc, false) })
		within("plan nothing", 20*time.Second, func() { w.plan(doc, true) })
		doc.Clients[17].Owner = "me"
		within("apply one change", 30*time.Second, func() { w.apply(doc, true) })
		within("export", 20*time.Second, func() { w.export() })
		within("remove all", 3*time.Minute, func() { w.apply(&registry.Document{}, true) })
	})
}
