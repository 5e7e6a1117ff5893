package balancer

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/countersign/countersign/internal/listeners"
	"github.com/countersign/countersign/lb"
)

// inForce is what is known of the document that is served.
type inForce struct {
	document *Document
	sum      string // SHA-256 of the text
	since    time.Time
}

// refusal is a document that was not taken.
type refusal struct {
	why string
	at  time.Time
}

// prepared is a document with all that it takes to serve it, not in force yet.
type prepared struct {
	document *Document
	pools    *lb.PreparedPools
	specs    []listeners.Spec
}

// prepare makes everything that a document needs. On an error nothing is left behind.
func (p *process) prepare(text []byte) (*prepared, error) {
	d, source, wrong := read(cmp.Or(p.cfg.Path, "configuration"), text)
	if d == nil {
		return nil, wrong
	}
	pools, err := p.pools.Prepare(d.Pools, source.Errorf)
	if err := errors.Join(wrong, err); err != nil {
		if pools != nil {
			pools.Discard()
		}
		return nil, err
	}
	n := &prepared{document: d, pools: pools}
	for i, l := range d.Listeners {
		spec, err := p.spec(l, d, pools.Transports[l.Pool])
		if err != nil {
			pools.Discard()
			return nil, source.Errorf(fmt.Sprintf("listeners[%d]", i), "%w", err)
		}
		spec.Place = source.Place(fmt.Sprintf("listeners[%d]", i))
		n.specs = append(n.specs, spec)
	}
	if address := d.Admin.Address; address != "" {
		n.specs = append(n.specs, listeners.Spec{
			Name: adminName, Place: source.Place("admin"), Address: address, Handler: p.admin(), Last: true, DrainTimeout: d.Drain.Timeout,
		})
	}
	return n, nil
}

// load puts a document into force, or changes nothing.
func (p *process) load(ctx context.Context, text []byte) error {
	n, err := p.prepare(text)
	if err != nil {
		return err
	}
	n.pools.Commit() // upstreams are checked before requests come
	if err := p.set.Apply(ctx, n.specs); err != nil {
		n.pools.Revert()
		n.pools.Discard()
		return err //nolint:wrapcheck // it names the listener
	}
	sum := sha256.Sum256(text)
	p.current.Store(&inForce{document: n.document, sum: hex.EncodeToString(sum[:]), since: p.cfg.Now()})
	p.refused.Store(nil)
	p.setLevel(n.document)
	if p.cfg.Listening != nil {
		p.cfg.Listening(p.set.Status())
	}
	return nil
}

// setLevel sets from which level on lines are logged.
func (p *process) setLevel(d *Document) {
	text := d.LogLevel
	if p.cfg.LogLevel != "" {
		text = p.cfg.LogLevel
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(text)); err != nil {
		p.log.Error("log level", "error", err) // both were looked at when they were read
		return
	}
	p.level.Set(level)
}
