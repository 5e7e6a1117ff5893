package balancer

import (
	"context"
	"fmt"
	"net/http"

	"github.com/countersign/countersign/internal/listeners"
	"github.com/countersign/countersign/internal/statuspage"
	"github.com/countersign/countersign/internal/telemetry"
	"github.com/countersign/countersign/lb"
)

// admin serves what operators ask.
func (p *process) admin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", p.readyz)
	mux.Handle("GET /metrics", telemetry.MetricsHandler(p.registry))
	mux.Handle("GET /status", statuspage.Handler(p.status, p.cfg.Now))
	return mux
}

// readyz says no while the load balancer drains. Upstreams that are down do not count: another load balancer would find them so too.
func (p *process) readyz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if p.draining.Load() {
		w.Header().Set("Retry-After", "1")
		http.Error(w, "draining", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

// status describes the load balancer for the status page.
func (p *process) status(context.Context) statuspage.Page {
	page := statuspage.Page{Title: "Countersign load balancer"}
	if current := p.current.Load(); current != nil {
		page.Sections = []statuspage.Section{
			p.aboutProcess(current), aboutRouting(current.document), lb.StatusSection(p.pools.Status()), listeners.StatusSection(p.set.Status()),
		}
	}
	return page
}

func (p *process) aboutProcess(current *inForce) statuspage.Section {
	state := statuspage.State{Text: "serving", Mood: statuspage.Good}
	if p.draining.Load() {
		state = statuspage.State{Text: "draining", Mood: statuspage.Warn}
	}
	facts := []statuspage.Fact{
		{Key: "state", Label: "State", Value: state},
		{Key: "version", Label: "Version", Value: p.cfg.Version},
		{Key: "config", Label: "Configuration", Value: p.cfg.Path},
		{Key: "sha256", Label: "Its SHA-256", Value: current.sum},
		{Key: "loaded", Label: "In force since", Value: current.since},
	}
	if refused := p.refused.Load(); refused != nil {
		facts = append(facts,
			statuspage.Fact{Key: "refused", Label: "A newer one is refused", Value: statuspage.State{Text: refused.why, Mood: statuspage.Bad}},
			statuspage.Fact{Key: "refused_at", Label: "Refused", Value: refused.at})
	}
	return statuspage.Section{Key: "process", Title: "This process", Facts: facts}
}

func aboutRouting(d *Document) statuspage.Section {
	s := statuspage.Section{Key: "routing", Title: "Where requests go", Columns: []statuspage.Column{
		{Key: "listener", Label: "Listener"}, {Key: "mode", Label: "Mode"}, {Key: "pool", Label: "Pool"},
	}}
	for _, l := range d.Listeners {
		s.Rows = append(s.Rows, []any{l.Name, l.Mode, l.Pool})
	}
	return s
}
