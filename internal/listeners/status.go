package listeners

import (
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// Status is what is known of a listener at one moment.
type Status struct {
	Name        string
	Address     string // where it listens in fact, also if the port was left to the system
	Stream      bool   // layer 4
	TLS         bool
	Connections int // open ones
	Idle        int // HTTP connections that wait for a request
	Most        int // connections that may be open; 0: any number
	Accepted    uint64
}

// Status returns the listeners, by name.
func (s *Set) Status() []Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Status, 0, len(s.open))
	for _, l := range s.open {
		list = append(list, l.status())
	}
	slices.SortFunc(list, func(a, b Status) int { return strings.Compare(a.Name, b.Name) })
	return list
}

func (l *listener) status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Status{
		Name: l.spec.Name, Address: l.socket.Addr().String(), Stream: l.spec.Stream != nil, TLS: l.spec.TLS != TLS{},
		Connections: int(l.open.Load()), Idle: int(l.idle.Load()), Most: l.spec.MaxConnections, Accepted: l.accepted.Load(),
	}
}

// Collector returns the metrics of the set, by listener: connections by state, and those accepted so far.
func (s *Set) Collector() prometheus.Collector {
	return &collector{
		set: s,
		connections: prometheus.NewDesc("countersign_listener_connections",
			"Open connections; idle ones wait for a request.", []string{"listener", "state"}, nil),
		accepted: prometheus.NewDesc("countersign_listener_accepted_total",
			"Connections accepted.", []string{"listener"}, nil),
	}
}

type collector struct {
	set                   *Set
	connections, accepted *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(descs chan<- *prometheus.Desc) {
	descs <- c.connections
	descs <- c.accepted
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(metrics chan<- prometheus.Metric) {
	for _, l := range c.set.Status() {
		busy := max(0, l.Connections-l.Idle) // the two are counted one after the other
		metrics <- prometheus.MustNewConstMetric(c.connections, prometheus.GaugeValue, float64(l.Idle), l.Name, "idle")
		metrics <- prometheus.MustNewConstMetric(c.connections, prometheus.GaugeValue, float64(busy), l.Name, "busy")
		metrics <- prometheus.MustNewConstMetric(c.accepted, prometheus.CounterValue, float64(l.Accepted), l.Name)
	}
}
