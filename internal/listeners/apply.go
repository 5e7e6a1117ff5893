package listeners

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/countersign/countersign/internal/httpx"
)

// Check reports everything that is wrong with specs and can be known without opening a socket, certificates included.
func (s *Set) Check(specs []Spec) error {
	_, err := s.prepare(specs)
	return err
}

// Apply makes the set what specs say. Either all of it comes true, or nothing changes and the error names each listener at fault. A
// listener whose address stays keeps its socket and its connections: requests that begin from now on get the new handler, those in
// flight end with the old one. What is gone accepts nothing any more and is drained by and by; Apply does not wait for that.
//
// An address that overlaps with one that is open (":80" and "127.0.0.1:80") cannot be opened before that is closed: it takes two steps.
func (s *Set) Apply(ctx context.Context, specs []Spec) error {
	s.applying.Lock()
	defer s.applying.Unlock()
	if s.closed {
		return errors.New("apply listeners: the set is closed")
	}
	wanted, err := s.prepare(specs)
	if err != nil {
		return err
	}
	fresh, err := s.openNew(ctx, wanted)
	if err != nil {
		return err
	}
	s.commit(wanted, fresh)
	return nil
}

// prepared is a listener that can be opened, as far as is known.
type prepared struct {
	key          string
	spec         Spec
	certificates *httpx.Certificates
}

func (s *Set) prepare(specs []Spec) ([]prepared, error) {
	var errs []error
	list := make([]prepared, 0, len(specs))
	keys, names := map[string]string{}, map[string]bool{}
	for _, spec := range specs {
		p := prepared{key: key(spec), spec: spec.withDefaults()}
		err := spec.validate()
		if other, taken := keys[p.key]; taken && err == nil {
			err = fmt.Errorf("listener %s has the same address", other)
		}
		if names[spec.Name] && err == nil {
			err = errors.New("another listener has the same name")
		}
		keys[p.key], names[spec.Name] = spec.Name, true
		if err == nil && spec.TLS != (TLS{}) {
			p.certificates, err = httpx.LoadCertificates(spec.TLS.Certificate, spec.TLS.Key, s.cfg.Logger, s.cfg.Now)
		}
		if err != nil {
			errs = append(errs, atFault(spec, err))
		}
		list = append(list, p)
	}
	return list, errors.Join(errs...)
}

func atFault(spec Spec, err error) error {
	if spec.Place != "" {
		return fmt.Errorf("%s: listener %s (%s): %w", spec.Place, spec.Name, spec.Address, err)
	}
	return fmt.Errorf("listener %s (%s): %w", spec.Name, spec.Address, err)
}

// key is the same for listeners that are the same socket. With port 0 the system chooses one for each.
func key(spec Spec) string {
	if _, port, err := net.SplitHostPort(spec.Address); err == nil && port == "0" {
		return spec.Name + "@" + spec.Address
	}
	return spec.Address
}

const maxPort = 1<<16 - 1

func (spec Spec) validate() error {
	if spec.Name == "" {
		return errors.New("it has no name")
	}
	_, port, err := net.SplitHostPort(spec.Address)
	if err != nil {
		return errors.New("want an address such as 127.0.0.1:8080, or :8080 for all of the machine's")
	}
	if number, err := strconv.Atoi(port); err == nil && (number < 0 || number > maxPort) {
		return fmt.Errorf("port %s: allowed is 0 to %d", port, maxPort)
	}
	if (spec.Handler == nil) == (spec.Stream == nil) {
		return errors.New("it needs a handler or a stream function, and not both")
	}
	if (spec.TLS.Certificate == "") != (spec.TLS.Key == "") {
		return errors.New("certificate and key go together")
	}
	if spec.TLS.ClientCertificates && spec.TLS.Certificate == "" {
		return errors.New("clients cannot be asked for certificates without tls")
	}
	if spec.Stream != nil && spec.TLS != (TLS{}) {
		return errors.New("a stream passes TLS on and has no certificate of its own")
	}
	l := spec.Limits
	if l.Header < 0 || l.Body < 0 || l.Write < 0 || l.Idle < 0 || l.MaxHeaderBytes < 0 || spec.MaxConnections < 0 || spec.DrainDelay < 0 || spec.DrainTimeout < 0 {
		return errors.New("a limit must not be negative")
	}
	return nil
}

func (spec Spec) withDefaults() Spec {
	if spec.Limits.Body == 0 {
		spec.Limits.Body = defaultBody
	}
	if spec.Limits.Write == 0 {
		spec.Limits.Write = defaultWrite
	}
	if spec.DrainTimeout == 0 {
		spec.DrainTimeout = defaultDrainTimeout
	}
	return spec
}

// openNew opens the sockets that are not open yet, all or none.
func (s *Set) openNew(ctx context.Context, wanted []prepared) (map[string]net.Listener, error) {
	fresh := map[string]net.Listener{}
	var errs []error
	for _, p := range wanted {
		if s.open[p.key] != nil {
			continue
		}
		socket, err := new(net.ListenConfig).Listen(ctx, "tcp", p.spec.Address)
		if err != nil {
			errs = append(errs, atFault(p.spec, err))
			continue
		}
		fresh[p.key] = socket
	}
	if len(errs) == 0 {
		return fresh, nil
	}
	for _, socket := range fresh {
		errs = append(errs, socket.Close())
	}
	return nil, errors.Join(errs...)
}

// commit cannot fail.
func (s *Set) commit(wanted []prepared, fresh map[string]net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	gone := s.open
	s.open = map[string]*listener{}
	for _, p := range wanted {
		if l := gone[p.key]; l != nil {
			delete(gone, p.key)
			l.change(p)
			s.open[p.key] = l
			continue
		}
		s.open[p.key] = listen(fresh[p.key], p, s.cfg.Logger)
	}
	for _, l := range gone {
		l.closeSocket() // at once: the next Apply may want the address
		s.removed.Go(func() {
			if err := l.drain(0); err != nil {
				s.cfg.Logger.Warn("listener taken away", "listener", l.name(), "error", err)
			}
		})
	}
}

// Close drains all listeners, those that are Last after the others, and returns once everything has ended. The error says what was
// cut off. Until DrainDelay is over, requests are still accepted.
func (s *Set) Close() error {
	s.applying.Lock()
	defer s.applying.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	err := errors.Join(s.drain(false), s.drain(true))
	s.removed.Wait()
	return err
}
