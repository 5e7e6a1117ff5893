package gateway

import (
	"errors"
	"io"
	"log/slog"
	"maps"
	"reflect"
	"slices"

	"github.com/countersign/countersign/internal/document"
	"github.com/countersign/countersign/internal/telemetry"
	"github.com/countersign/countersign/sdk"
)

// Issuers are the verifiers of a document's issuers. Those whose settings a new document leaves as they are go on, with all that they
// know. Its methods are for one goroutine.
type Issuers struct {
	Logger *slog.Logger // nil: nothing is logged
	// Tracing records what the verifiers ask the issuers. Nil: nothing is recorded.
	Tracing *telemetry.Tracing

	running map[string]issuer
	proofs  *proofs // nil: none yet
}

// issuer is a verifier with the settings that it was made of.
type issuer struct {
	settings Issuer
	proofs   *proofs
	verifier *sdk.Verifier
	client   *sdk.Client // nil: there are no credentials
	store    io.Closer   // connections to the token store; nil: there is none
}

func (i issuer) close() {
	_ = i.verifier.Close() // always nil
	if i.client != nil {
		_ = i.client.Close() // always nil
	}
	if i.store != nil {
		_ = i.store.Close() // there is nothing to be done about it
	}
}

// Prepared are the verifiers for a document that is not in force yet.
type Prepared struct {
	// Verifiers judge tokens, by the issuer's name in the document.
	Verifiers map[string]*sdk.Verifier
	// Clients exchange tokens, by the same names. Issuers without credentials have none.
	Clients map[string]*sdk.Client

	issuers *Issuers
	next    map[string]issuer
	fresh   []issuer
	proofs  *proofs
}

// Prepare makes the verifiers of a document, or takes over those that run. It does no I/O beyond reading files. Either Commit or
// Discard is to be called, before another Prepare.
func (s *Issuers) Prepare(d *Document, source *document.Source) (*Prepared, error) {
	p := &Prepared{Verifiers: map[string]*sdk.Verifier{}, Clients: map[string]*sdk.Client{}, issuers: s, next: map[string]issuer{}}
	var err error
	if p.proofs, err = s.proofs.prepare(d); err != nil {
		return nil, mistake(source, "bound_tokens", err)
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(d.Issuers)) {
		settings := d.Issuers[name]
		one, ok := s.running[name]
		if !ok || one.proofs != p.proofs || !reflect.DeepEqual(one.settings, settings) {
			if one, err = settings.open(d.audience(name), p.proofs, s.logger(), s.tracing()); err != nil {
				errs = append(errs, mistake(source, "issuers."+name, err))
				continue
			}
			p.fresh = append(p.fresh, one)
		}
		p.next[name], p.Verifiers[name] = one, one.verifier
		if one.client != nil {
			p.Clients[name] = one.client
		}
	}
	if len(errs) > 0 {
		p.Discard()
		return nil, errors.Join(errs...)
	}
	return p, nil
}

// mistake says where it is in the document, down to the member if that is known.
func mistake(source *document.Source, at string, err error) error {
	if member, ok := errors.AsType[*memberError](err); ok {
		at += "." + member.name
	}
	return source.Errorf(at, "%s", err)
}

func (s *Issuers) logger() *slog.Logger {
	if s.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.Logger
}

func (s *Issuers) tracing() *telemetry.Tracing {
	if s.Tracing == nil {
		return new(telemetry.Tracing)
	}
	return s.Tracing
}

// Fresh are the verifiers that did not run before.
func (p *Prepared) Fresh() (all []*sdk.Verifier) {
	for _, one := range p.fresh {
		all = append(all, one.verifier)
	}
	return all
}

// Commit puts the verifiers into force. What it returns closes those that are in force no longer, once nobody uses them.
func (p *Prepared) Commit() (closeFormer func()) {
	var gone []issuer
	for name, one := range p.issuers.running {
		if p.next[name].verifier != one.verifier {
			gone = append(gone, one)
		}
	}
	former := p.issuers.proofs
	p.issuers.running, p.issuers.proofs = p.next, p.proofs
	return func() {
		for _, one := range gone {
			one.close()
		}
		former.close(p.proofs)
	}
}

// Discard closes what was made for nothing.
func (p *Prepared) Discard() {
	for _, one := range p.fresh {
		one.close()
	}
	p.proofs.close(p.issuers.proofs)
}

// Close ends all verifiers.
func (s *Issuers) Close() {
	for _, one := range s.running {
		one.close()
	}
	s.running = nil
	s.proofs.close(nil)
}

// audience is that of the first route whose tokens are the issuer's: a verifier has one of its own.
func (d *Document) audience(name string) string {
	for _, r := range d.Routes {
		if r.Authentication != authNone && r.Audience != "" && (r.Issuer == name || r.Issuer == "" && len(d.Issuers) == 1) {
			return r.Audience
		}
	}
	return "urn:countersign:none" // no route asks for one
}
