package bench

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/countersign/countersign/bench/report"
)

// The names of the rows.
const (
	nothing       = "nothing"
	ourBalancer   = "lb"
	ourGateway    = "gateway"
	ourSilent     = "gateway, no access log"
	ourFirstSight = "gateway, every token at first sight"
	layer4Limit   = "bare io.Copy, layer 4"
	ourLayer4     = "lb, layer 4"
	haproxyLayer4 = "HAProxy, layer 4"
	haproxyPlain  = "HAProxy, lets everybody in"
	haproxyJWT    = "HAProxy, jwt_verify"
	nginxPlain    = "nginx, lets everybody in"
	nginxAsking   = "nginx, auth_request"
	nginxCaching  = "nginx, auth_request and its cache"
	caddyPlain    = "Caddy, lets everybody in"
	caddyAsking   = "Caddy, forward_auth"
)

const (
	slowRatio      = 2 // what p99 beside slow clients may be of the bare proxy's, which has as little patience
	slowPatience   = time.Minute
	slowConnection = 16 // of the ordinary load beside them
)

// BenchmarkEdge is what stands in front of services: gateway and load balancer beside a bare proxy and beside other people's.
// Its rows are those of the document results/edge.md.
func BenchmarkEdge(b *testing.B) {
	w := newEdgeWorld(b)
	gateway := w.gateway("gateway", false)
	ours := append(w.balanced(""), w.side(ourGateway, gateway.at["Plain"], processes(gateway)))
	var rows []report.Row
	b.Run("requests", func(b *testing.B) {
		rounds := Rounds{Count: 11, Each: time.Second, WarmUp: time.Second}
		sides := append([]Side{w.side(nothing, w.upstream.address, nil)}, ours...)
		silent, fresh := w.gateway("gateway-silent", true), w.gateway("gateway-fresh", false)
		sides = append(sides,
			w.side(ourSilent, silent.at["Plain"], processes(silent)),
			w.fresh(w.side(ourFirstSight, fresh.at["Plain"], processes(fresh)), rounds.Count+1),
		)
		row, err := race(b.Context(), rounds, slices.Concat(sides, w.connected(), w.others()))
		if err != nil {
			b.Fatal(err)
		}
		for _, v := range edgeBounds() {
			if err := row.Judge(v); err != nil {
				b.Error(err)
			}
		}
		rows = append(rows, row)
		tell(b, row)
	})
	b.Run("idle", func(b *testing.B) {
		// New processes: what garbage an earlier load has left would be used again.
		gateway := w.gateway("gateway-idle", false)
		row := report.Row{Work: report.Number(idleConnections) + " idle connections"}
		for _, side := range append(w.balanced("-idle"), w.side(ourGateway, gateway.at["Plain"], processes(gateway))) {
			result, err := idle(b.Context(), side, side.only(), idleConnections)
			if err != nil {
				b.Fatal(err)
			}
			row.Sides = append(row.Sides, result)
		}
		rows = append(rows, row)
		tell(b, row)
	})
	b.Run("slow", func(b *testing.B) {
		bare := w.startLimit("proxy", w.upstream.address, "5s")
		row, err := w.disturbed(b, append([]Side{w.side(bareProxy, bare.address, nil)}, ours[1:]...))
		if err != nil {
			b.Fatal(err)
		}
		rows = append(rows, row)
		tell(b, row)
	})
	if len(rows) < 3 {
		return // some were not asked for, or could not be measured; that a floor is missed is told
	}
	w.publish(&report.Report{
		Name: "edge", Title: "Gateway and load balancer", Versions: w.versions, Rows: rows,
		Setting: fmt.Sprintf("%d connections with keep-alive, on loopback; proxies, upstream and load share the processors. Every request "+
			"bears an ES256 JWT of a Countersign server and is answered by %d bytes.", edgeConnections, len(w.answer)),
	})
}

// edgeBounds are what the processor time of a request may be beside that of others.
func edgeBounds() []report.Verdict {
	bounds := []report.Verdict{
		{Of: ourBalancer, Beside: bareProxy, Floor: 1.1, Goal: 0.7, Summary: "load balancer, CPU per request"},
		{Of: ourGateway, Beside: bareProxy, Floor: 1.6, Goal: 0.8, Summary: "gateway, verified token, everything on, CPU per request"},
		{Of: ourSilent, Beside: bareProxy, Floor: 1.35, Goal: 0.8, Summary: "gateway, verified token, no access log, CPU per request"},
		{Of: ourLayer4, Beside: haproxyLayer4, Floor: 1.5, Goal: 1.1, Summary: "load balancer at layer 4, CPU per request"},
		{Of: ourGateway, Beside: caddyAsking, Floor: 1},
		{Of: ourGateway, Beside: haproxyJWT, Floor: 1},
		{Of: ourGateway, Beside: nginxAsking, Floor: 1},
	}
	for n := range bounds {
		bounds[n].Figure, bounds[n].AtMost = cpuBetween, true
	}
	return bounds
}

// balanced starts the bare proxy and our load balancer, whose processes are called so.
func (w *edgeWorld) balanced(suffix string) []Side {
	w.Helper()
	bare := w.startLimit("proxy", w.upstream.address)
	balancer := w.balancer("lb" + suffix)
	return []Side{
		w.side(bareProxy, bare.address, map[string]int{"proxy": bare.PID()}), w.side(ourBalancer, balancer.at["Plain"], processes(balancer)),
	}
}

// connected starts what passes whole connections on.
func (w *edgeWorld) connected() []Side {
	w.Helper()
	bare, balancer := w.startLimit("connections", w.upstream.address), w.balancer("lb-connections")
	return []Side{
		w.side(layer4Limit, bare.address, map[string]int{"connections": bare.PID()}), w.side(ourLayer4, balancer.at["Connections"], processes(balancer)),
	}
}

func (w *edgeWorld) balancer(name string) proxyProgram {
	w.Helper()
	return w.run(proxy{
		name: name, binary: w.countersign(), config: "lb.yaml", args: []string{"lb", "--config"}, ways: []string{"Plain", "Connections"},
		more: map[string]string{"Upstream": w.upstream.address},
	})
}

// others starts other people's proxies.
func (w *edgeWorld) others() []Side {
	w.Helper()
	authorizer := w.gateway("authorizer", false)
	nginx, haproxy, caddy := w.nginx(authorizer.at["Deciding"]), w.haproxy(), w.caddy(authorizer.at["Deciding"])
	return []Side{
		w.side(haproxyLayer4, haproxy.at["Connections"], processes(haproxy)),
		w.side(haproxyPlain, haproxy.at["Plain"], processes(haproxy)),
		w.side(haproxyJWT, haproxy.at["Verifying"], processes(haproxy)),
		w.side(nginxPlain, nginx.at["Plain"], processes(nginx)),
		w.side(nginxAsking, nginx.at["Asking"], processes(nginx, authorizer)),
		w.side(nginxCaching, nginx.at["Remembering"], processes(nginx, authorizer)),
		w.side(caddyPlain, caddy.at["Plain"], processes(caddy)),
		w.side(caddyAsking, caddy.at["Asking"], processes(caddy, authorizer)),
	}
}

// disturbed has slow clients come to all sides, one after the other.
func (w *edgeWorld) disturbed(b *testing.B, sides []Side) (report.Row, error) {
	b.Helper()
	row := report.Row{Work: fmt.Sprintf("%d connections beside slow clients", slowConnection)}
	rounds := Rounds{Count: 5, Each: 2 * time.Second, WarmUp: 5 * time.Second}
	for _, side := range sides {
		side.Load.Connections = slowConnection
		pair, err := disturb(b.Context(), side, idlers(side.Load.Address, w.token), rounds, slowPatience)
		if err != nil {
			return row, fmt.Errorf("%s: %w", side.Name, err)
		}
		row.Sides = append(row.Sides, pair...)
	}
	for _, side := range sides[1:] {
		err := row.Judge(report.Verdict{Figure: report.P99, Of: side.Name, Beside: sides[0].Name, AtMost: true, Floor: slowRatio})
		if err != nil {
			b.Error(err)
		}
	}
	return row, nil
}

// gateway runs ours.
func (w *edgeWorld) gateway(name string, silent bool) proxyProgram {
	w.Helper()
	return w.run(proxy{
		name: name, binary: w.countersign(), config: "gateway.yaml", args: []string{"gateway", "--config"}, ways: []string{"Plain", "Deciding"},
		more: map[string]string{
			"Upstream": w.upstream.address, "Issuer": "http://" + w.server.address, "Audience": jwtAPI, "Silent": strconv.FormatBool(silent),
			"Client": w.caller.ID.String(), "Secret": w.secretFile,
		},
	})
}
