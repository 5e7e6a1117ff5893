package gateway

import (
	"errors"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/internal/ratelimit"
	"github.com/countersign/countersign/internal/redisconn"
)

// limiters are the limiter in force and what it counts with. One whose settings a new document leaves as they are goes on.
type limiters struct {
	log      *slog.Logger
	registry *prometheus.Registry
	held     *heldLimiter
}

// heldLimiter is a limiter with its connection.
type heldLimiter struct {
	*ratelimit.Limiter

	set      *limiters
	url      string
	conn     *redisconn.Conn      // nil: in process
	registry *prometheus.Registry // has its metrics, apart from those of its successor
}

// prepare makes the limiter of a document, or takes over the one that runs.
func (s *limiters) prepare(store RateLimitStore) (*heldLimiter, error) {
	url, err := secretOf("redis", store.Redis, store.RedisFile)
	if err != nil {
		return nil, err
	}
	if s.held != nil && s.held.url == url {
		return s.held, nil
	}
	h := &heldLimiter{set: s, url: url, registry: prometheus.NewRegistry()}
	if url != "" {
		if h.conn, err = redisconn.Open(url, redisconn.Config{Logger: s.log, Registerer: h.registry}); err != nil {
			return nil, err
		}
	}
	fallbacks := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "countersign_gateway_ratelimit_fallbacks_total",
		Help: "Requests whose limit this gateway decided by itself because Redis did not answer.",
	})
	h.registry.MustRegister(fallbacks)
	if h.Limiter, err = ratelimit.New(ratelimit.Config{Redis: h.conn, Fallbacks: fallbacks}); err != nil {
		return nil, errors.Join(err, h.end())
	}
	return h, nil
}

// commit puts h into force. The function that it returns ends the one before, once nobody uses it.
func (h *heldLimiter) commit() (former func()) {
	old := h.set.held
	if old == h {
		return func() {}
	}
	if old != nil {
		h.set.registry.Unregister(old.registry)
	}
	h.set.registry.MustRegister(h.registry)
	h.set.held = h
	return func() {
		if old != nil {
			_ = old.end() // there is nothing to be done about it
		}
	}
}

// discard ends a limiter that was made for nothing.
func (h *heldLimiter) discard() {
	if h != h.set.held {
		_ = h.end() // there is nothing to be done about it
	}
}

func (h *heldLimiter) end() error {
	if h.conn == nil {
		return nil
	}
	return h.conn.Close()
}

func (s *limiters) close() error {
	if s.held == nil {
		return nil
	}
	return s.held.end()
}
