package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// Both gateways behind a load balancer are restarted, one after the other, and the load balancer's configuration changes meanwhile: no
// request is lost, of those that nobody may repeat.
func TestRollingRestartOfGateways(t *testing.T) {
	t.Parallel()
	upstream := startUpstreamProcess(t)
	document := fmt.Sprintf("pools: {echo: {targets: [{url: %q}], health: {mode: tcp}}}\n"+
		"routes: [{name: open, match: {prefix: /}, authentication: none, pool: echo}]\naccess_log: {disabled: true}\ndrain: {delay: 1s}\n", upstream.Addr)
	gateways := []*gatewayProcess{startGateway(t, document), startGateway(t, document)}
	var targets []string
	for _, g := range gateways {
		targets = append(targets, fmt.Sprintf("{url: %q, health: %q}", strings.TrimPrefix(g.URL, "http://"), strings.TrimPrefix(g.AdminURL, "http://")))
	}
	pool := fmt.Sprintf("main: {targets: [%s], health: {interval: 200ms}}", strings.Join(targets, ", "))
	balancer := startLB(t, "pool: main", pool)
	load := startTrafficBy(t, func(ctx context.Context, address string) (answer, error) {
		return call(ctx, http.MethodPost, address, "")
	}, "http://"+balancer.Address+"/")
	load.await(t, 300)
	for round, g := range gateways {
		g.Stop(t)
		load.await(t, load.count()+200)
		g.Start(t)
		balancer.Write(t, balancer.document("pool: main", strings.Replace(pool, "200ms", fmt.Sprintf("%dms", 201+round), 1)))
		balancer.metric(t, fmt.Sprintf("countersign_config_reloads_total{result=\"success\"} %d", round+1))
		load.await(t, load.count()+200)
	}
	if failed := load.stop(); len(failed) > 0 {
		t.Errorf("%d of %d requests failed, the first: %s", len(failed), load.count(), failed[0])
	}
}
