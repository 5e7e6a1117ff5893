package bench

import (
	"fmt"
	"runtime"
	"strconv"
	"testing"
	"time"
)

// The names of the rows.
const (
	nothing       = "nothing"
	ourBalancer   = "lb"
	ourGateway    = "gateway"
	ourSilent     = "gateway, no access log"
	ourFirstSight = "gateway, every token at first sight"
	haproxyPlain  = "HAProxy, lets everybody in"
	haproxyJWT    = "HAProxy, jwt_verify"
	nginxPlain    = "nginx, lets everybody in"
	nginxAsking   = "nginx, auth_request"
	nginxCaching  = "nginx, auth_request and its cache"
	caddyPlain    = "Caddy, lets everybody in"
	caddyAsking   = "Caddy, forward_auth"
)

const (
	slowRatio      = 2 // what p99 may become by slow clients
	slowPatience   = time.Minute
	slowConnection = 16 // of the ordinary load beside them
)

// BenchmarkEdge is what stands in front of services: gateway and load balancer beside a bare proxy and beside other people's.
// Its rows are those of the document results/edge.md.
func BenchmarkEdge(b *testing.B) {
	w := newEdgeWorld(b)
	report := &Edge{
		Time: time.Now().UTC(), Machine: thisMachine(), Versions: w.versions,
		Setting: fmt.Sprintf("%d connections with keep-alive, on loopback; proxies, upstream and load share the processors. Every request "+
			"bears an ES256 JWT of a Countersign server and is answered by %d bytes.", edgeConnections, len(w.answer)),
	}
	w.versions["Countersign"], w.versions["Go"] = revision(b.Context()), runtime.Version()
	gateway := w.gateway("gateway", false)
	ours := append(w.balanced(""), w.side(ourGateway, gateway.at["Plain"], processes(gateway)))
	b.Run("requests", func(b *testing.B) {
		rounds := Rounds{Count: 15, Each: time.Second, WarmUp: time.Second}
		sides := append([]Side{w.side(nothing, w.upstream.address, nil)}, ours...)
		silent, fresh := w.gateway("gateway-silent", true), w.gateway("gateway-fresh", false)
		sides = append(sides,
			w.side(ourSilent, silent.at["Plain"], processes(silent)),
			w.fresh(w.side(ourFirstSight, fresh.at["Plain"], processes(fresh)), rounds.Count+1),
		)
		var err error
		if report.Rows, err = race(b.Context(), rounds, append(sides, w.others()...)); err != nil {
			b.Fatal(err)
		}
		for _, row := range report.Rows {
			b.Run(row.Name, func(b *testing.B) {
				b.ReportMetric(0, "ns/op") // one operation is the whole comparison
				b.ReportMetric(row.Rate, "requests/s")
				b.ReportMetric(row.Median, "µs/request")
				b.ReportMetric(row.Ratio, "times-the-bare-proxy")
			})
		}
		for _, bound := range []Bound{
			{Row: ourBalancer, Beside: bareProxy, Most: 1.1},
			{Row: ourGateway, Beside: bareProxy, Most: 1.6},
			{Row: ourSilent, Beside: bareProxy, Most: 1.35},
			{Row: ourGateway, Beside: caddyAsking, Most: 1},
			{Row: ourGateway, Beside: haproxyJWT, Most: 1},
			{Row: ourGateway, Beside: nginxAsking, Most: 1},
		} {
			if err := report.check(bound); err != nil {
				b.Error(err)
			}
		}
	})
	b.Run("idle", func(b *testing.B) {
		// New processes: what garbage an earlier load has left would be used again.
		gateway := w.gateway("gateway-idle", false)
		for _, side := range append(w.balanced("-idle"), w.side(ourGateway, gateway.at["Plain"], processes(gateway))) {
			result, err := idle(b.Context(), side, side.only(), idleConnections)
			if err != nil {
				b.Fatal(err)
			}
			report.Idle = append(report.Idle, result)
		}
		b.ReportMetric(0, "ns/op")
	})
	b.Run("slow", func(b *testing.B) {
		for _, side := range ours[1:] {
			result, err := w.disturbed(b, side)
			if err != nil {
				b.Fatal(err)
			}
			report.Slow = append(report.Slow, result)
		}
		b.ReportMetric(0, "ns/op")
	})
	if len(report.Rows) == 0 || len(report.Idle) == 0 || len(report.Slow) == 0 {
		return // some were not asked for, or failed
	}
	w.check(report.write("results"))
}

// balanced starts the bare proxy and our load balancer, whose processes are called so.
func (w *edgeWorld) balanced(suffix string) []Side {
	w.Helper()
	bare := w.startLimit("proxy", w.upstream.address)
	balancer := w.run(proxy{
		name: "lb" + suffix, binary: w.countersign(), config: "lb.yaml", args: []string{"lb", "--config"}, ways: []string{"Plain"},
		more: map[string]string{"Upstream": w.upstream.address},
	})
	return []Side{
		w.side(bareProxy, bare.address, map[string]int{"proxy": bare.PID()}), w.side(ourBalancer, balancer.at["Plain"], processes(balancer)),
	}
}

// others starts other people's proxies.
func (w *edgeWorld) others() []Side {
	w.Helper()
	authorizer := w.gateway("authorizer", false)
	nginx, haproxy, caddy := w.nginx(authorizer.at["Deciding"]), w.haproxy(), w.caddy(authorizer.at["Deciding"])
	return []Side{
		w.side(haproxyPlain, haproxy.at["Plain"], processes(haproxy)),
		w.side(haproxyJWT, haproxy.at["Verifying"], processes(haproxy)),
		w.side(nginxPlain, nginx.at["Plain"], processes(nginx)),
		w.side(nginxAsking, nginx.at["Asking"], processes(nginx, authorizer)),
		w.side(nginxCaching, nginx.at["Remembering"], processes(nginx, authorizer)),
		w.side(caddyPlain, caddy.at["Plain"], processes(caddy)),
		w.side(caddyAsking, caddy.at["Asking"], processes(caddy, authorizer)),
	}
}

// disturbed has slow clients come to a side.
func (w *edgeWorld) disturbed(b *testing.B, side Side) (Slow, error) {
	b.Helper()
	side.Load.Connections = slowConnection
	rounds := Rounds{Count: 5, Each: 2 * time.Second, WarmUp: time.Second}
	result, err := disturb(b.Context(), side, idlers(side.Load.Address, w.token), rounds, slowPatience)
	if err != nil {
		return result, err
	}
	if result.Most = slowRatio; result.Ratio > result.Most {
		b.Errorf("%s: slow clients make p99 %.2f times as long, %.2f is the most", result.Name, result.Ratio, result.Most)
	}
	return result, nil
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
