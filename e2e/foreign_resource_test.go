package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/internal/up"
	"github.com/countersign/countersign/server/auth"
)

// A client of another make needs to know no more of an API behind the gateway than its address.
func TestForeignClientFindsTheIssuer(t *testing.T) {
	w := newForeignWorld(t)
	issuer := startServer(t, w.Settings()...).Issuer
	address, admin := up.Address(testbed.FreePort(t)), up.Address(testbed.FreePort(t))
	resource := "http://" + address + "/orders"
	made, err := w.Registry.CreateAPI(t.Context(), w.Actor, auth.API{Identifier: resource, Name: "found", Scopes: []auth.ScopeDefinition{{Name: "read"}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Registry.SetServer(t.Context(), w.Actor, made.ID, clientID(t, w.Server), true); err != nil {
		t.Fatal(err)
	}
	w.Grant(t, w.Caller, resource, "read")

	g := &gatewayProcess{URL: "http://" + address, AdminURL: "http://" + admin, Config: filepath.Join(t.TempDir(), "gateway.yaml")}
	g.Write(t, fmt.Sprintf("listeners: [{name: entry, address: %q}]\nadmin: {address: %q}\n", address, admin)+issuerPart(issuer, w.Server)+
		fmt.Sprintf("pools: {orders: {targets: [{url: %q}]}}\n", "http://"+startUpstreamProcess(t).Addr)+
		fmt.Sprintf("resources: [{audience: %q, name: Orders}]\n", resource)+
		fmt.Sprintf("routes: [{name: orders, match: {prefix: /orders}, authentication: introspect, audience: %q, all_of: [read], pool: orders}]\n", resource))
	g.Start(t)

	world := w.describe(issuer)
	world["resource"] = resource
	script := exec.CommandContext(t.Context(), "node", "resource.mjs")
	script.Dir = testbed.NPMInstall(t, "foreign")
	runScript(t, script, world)
}
