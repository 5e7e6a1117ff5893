package registry_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
)

// Documents that follow one another have the same plans on both databases, make the same system, and leave nothing to do.
func TestRandomDocuments(t *testing.T) {
	sqlite, mysql := newWorld(t, worlds()["sqlite"](t)), newWorld(t, worlds()["mysql"](t))
	rapid.Check(t, func(r *rapid.T) {
		for _, w := range []world{sqlite, mysql} {
			w.apply(&registry.Document{}, true)
		}
		for range rapid.IntRange(1, 3).Draw(r, "documents") {
			doc, prune := drawDocument(r), rapid.Bool().Draw(r, "prune")
			var plans [2][]string
			var failures, exports [2]string
			for i, w := range []world{sqlite, mysql} {
				done, err := w.Apply(t.Context(), system(), doc, registry.ApplyOptions{Prune: prune})
				if err != nil {
					failures[i] = err.Error()
				} else {
					plans[i] = lines(&done.Plan)
					if left := w.plan(doc, prune); len(left.Steps) > 0 {
						r.Fatalf("left is %q", lines(left))
					}
				}
				exported := w.export()
				exports[i] = text(t, idless(exported))
				if again := w.plan(w.export(), true); len(again.Steps) > 0 {
					r.Fatalf("the export would change %q", lines(again))
				}
			}
			if diff := cmp.Diff(failures[0], failures[1]) + cmp.Diff(plans[0], plans[1]) + cmp.Diff(exports[0], exports[1]); diff != "" {
				r.Fatal(diff)
			}
		}
	})
}

// idless returns a document without its ids, which differ.
func idless(doc *registry.Document) *registry.Document {
	for i := range doc.APIs {
		doc.APIs[i].ID = ""
	}
	for i := range doc.Clients {
		doc.Clients[i].ID = ""
	}
	return doc
}

// drawDocument draws from few names, so that documents meet; some are wrong.
func drawDocument(r *rapid.T) *registry.Document {
	doc := &registry.Document{}
	clients := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d", "é", "A"}), 0, 6, rapid.ID).Draw(r, "clients")
	apis := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"urn:x:1", "urn:x:2", "urn:x:3", "urn:X:3"}), 0, 4, rapid.ID).Draw(r, "apis")
	for _, identifier := range apis {
		doc.APIs = append(doc.APIs, registry.DeclaredAPI{
			Identifier: identifier,
			Name:       rapid.SampledFrom([]string{"One", "Two"}).Draw(r, "name"),
			Scopes:     drawScopes(r),
			Format:     rapid.SampledFrom([]auth.Format{"", auth.Opaque}).Draw(r, "format"),
			Lifetime:   rapid.SampledFrom([]time.Duration{0, time.Minute}).Draw(r, "lifetime"),
			Servers:    drawSome(r, clients),
		})
	}
	for _, name := range clients {
		c := registry.DeclaredClient{
			Name:     name,
			Owner:    rapid.SampledFrom([]string{"", "team"}).Draw(r, "owner"),
			Labels:   rapid.SampledFrom([]map[string]string{nil, {}, {"k": "v"}, {"k": "v, k=v"}}).Draw(r, "labels"),
			Disabled: rapid.SampledFrom([]*bool{nil, new(true), new(false)}).Draw(r, "disabled"),
		}
		if rapid.Bool().Draw(r, "secret") {
			c.Secret = &registry.DeclaredSecret{Generate: true}
		}
		for _, identifier := range drawSome(r, append(slices.Clone(apis), auth.ServerAPI)) {
			c.Grants = append(c.Grants, registry.DeclaredGrant{API: identifier, Scopes: drawGranted(r, doc, identifier)})
		}
		if choices := len(c.Grants) + 2; choices > 2 {
			switch n := rapid.IntRange(0, choices-1).Draw(r, "default"); n {
			case 0:
			case 1:
				c.DefaultResource = new("")
			default:
				c.DefaultResource = new(c.Grants[n-2].API)
			}
		}
		doc.Clients = append(doc.Clients, c)
	}
	return doc
}

func drawSome(r *rapid.T, from []string) []string {
	if len(from) == 0 {
		return nil
	}
	return rapid.SliceOfNDistinct(rapid.SampledFrom(from), 0, 3, rapid.ID).Draw(r, "some")
}

func drawScopes(r *rapid.T) (scopes []auth.ScopeDefinition) {
	for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"s", "t", "u"}), 1, 3, rapid.ID).Draw(r, "scopes") {
		scopes = append(scopes, auth.ScopeDefinition{Name: name, Description: rapid.SampledFrom([]string{"", "text"}).Draw(r, "description")})
	}
	return scopes
}

// drawGranted mostly draws what the API offers.
func drawGranted(r *rapid.T, doc *registry.Document, identifier string) []string {
	offered := []string{auth.ScopeRevokeAll, auth.ScopeRevocationsRead}
	for _, a := range doc.APIs {
		if a.Identifier == identifier {
			offered = nil
			for _, s := range a.Scopes {
				offered = append(offered, s.Name)
			}
		}
	}
	if rapid.IntRange(0, 49).Draw(r, "wrong") == 0 {
		return []string{fmt.Sprint("unknown", rapid.IntRange(0, 9).Draw(r, "scope"))}
	}
	return rapid.SliceOfNDistinct(rapid.SampledFrom(offered), 1, 3, rapid.ID).Draw(r, "granted")
}
