package server

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/httpx"
	"github.com/countersign/countersign/sdk/proof"
	"github.com/countersign/countersign/server/auth"
)

// How far the iat of a DPoP proof may be off: in the past for the time that a request is under way, both ways for clocks that differ.
const (
	proofPast   = time.Minute
	proofFuture = time.Minute
)

const headerDPoP = "Dpop" // as net/http spells it

// certificates returns the chain of the client's connection, its own certificate first: that of a proxy's client where the proxy is one whose
// word is taken (RFC 9440), and no other then. What others say in these headers is passed over.
func (s *Server) certificates(r *http.Request) ([]*x509.Certificate, error) {
	if len(s.config.CertificateProxies) > 0 && s.config.CertificateProxies.Trusts(r) {
		return forwardedChain(r)
	}
	if r.TLS == nil || !s.config.MutualTLS {
		return nil, nil
	}
	return r.TLS.PeerCertificates, nil
}

func forwardedChain(r *http.Request) ([]*x509.Certificate, error) {
	first, err := proof.ParseClientCert(r.Header["Client-Cert"])
	if errors.Is(err, proof.ErrNoClientCert) {
		return nil, nil
	}
	if err != nil {
		return nil, fault.Wrap(fault.InvalidRequest, "the proxy's header Client-Cert is malformed (RFC 9440)", err)
	}
	rest, err := proof.ParseClientCertChain(r.Header["Client-Cert-Chain"])
	if err != nil {
		return nil, fault.Wrap(fault.InvalidRequest, "the proxy's header Client-Cert-Chain is malformed (RFC 9440)", err)
	}
	return append([]*x509.Certificate{first}, rest...), nil
}

// proveKey checks the DPoP proof of a request to one of our endpoints (RFC 9449 §4.3), and returns it with the one use that it is good for. It
// returns nil if there is none.
func (s *Server) proveKey(r *http.Request) (*proof.DPoP, *auth.ProofUse, error) {
	headers := r.Header[headerDPoP]
	if len(headers) == 0 {
		return nil, nil, nil
	}
	found, err := proof.ReadDPoP(headers, r.Method, s.calledAs(r))
	if err != nil {
		return nil, nil, badProof(err)
	}
	now := s.config.Now()
	use := &auth.ProofUse{Key: found.Key(), Expires: found.Expires(proofPast, proofFuture)}
	switch {
	case found.Nonce == "" && s.config.RequireNonce:
		return nil, nil, fault.New(fault.UseNonce, "the proof needs the nonce of the DPoP-Nonce header")
	case found.Nonce != "" && s.config.Nonces().Check(found.Nonce, now) != nil:
		return nil, nil, fault.New(fault.UseNonce, "the proof has a nonce that is too old or not ours; take that of the DPoP-Nonce header")
	case found.Nonce != "": // says when the proof was made, by our own clock
		use.Expires = now.Add(proof.NonceLife)
	default:
		if err := found.Fresh(now, proofPast, proofFuture); err != nil {
			return nil, nil, badProof(err)
		}
	}
	return found, use, nil
}

func badProof(err error) error { return fault.Wrap(fault.InvalidProof, err.Error(), err) }

// calledAs is the URI of the endpoint as its client knows it: the metadata names it, whatever is in between.
func (s *Server) calledAs(r *http.Request) string {
	if s.aliasHost != "" && r.Host == s.aliasHost {
		return s.alias + strings.TrimPrefix(r.URL.Path, s.path)
	}
	return s.base + strings.TrimPrefix(r.URL.Path, s.path)
}

// offerNonce tells a client that uses DPoP which nonce its next proof is to have (RFC 9449 §8.2).
func (s *Server) offerNonce(w http.ResponseWriter, r *http.Request) {
	if len(r.Header[headerDPoP]) > 0 {
		w.Header().Set("DPoP-Nonce", s.config.Nonces().Issue(s.config.Now()))
	}
}

// faults writes the errors of the public endpoints. Whoever is asked for a nonce is given one.
func (s *Server) faults() httpx.FaultWriter {
	var algorithms []string
	for _, alg := range proof.Algorithms() {
		algorithms = append(algorithms, string(alg))
	}
	write := httpx.OAuth(s.config.Docs, algorithms...)
	return func(w http.ResponseWriter, r *http.Request, e *fault.Error) {
		if e.Code == fault.UseNonce {
			s.offerNonce(w, r)
		}
		write(w, r, e)
	}
}

// proveToken checks that the sender of an access token holds what it has to: the scheme DPoP comes with a proof for this very token. It returns
// the use of that proof, which is to be spent if the token is good.
func (s *Server) proveToken(r *http.Request, who *identity) ([]auth.ProofUse, error) {
	if !who.dpop {
		return nil, nil
	}
	found, use, err := s.proveKey(r)
	if err == nil && found == nil {
		err = fault.New(fault.InvalidProof, "the scheme DPoP needs a DPoP header")
	}
	if err != nil {
		return nil, err
	}
	if err := found.Covers(who.bearer); err != nil {
		return nil, badProof(err)
	}
	if who.held.JWK, err = thumbprint(found); err != nil {
		return nil, err
	}
	return []auth.ProofUse{*use}, nil
}

func thumbprint(p *proof.DPoP) ([32]byte, error) {
	jwk, ok := auth.ParseHash(p.Thumbprint)
	if !ok {
		return jwk, errors.New("the key of a DPoP proof has a thumbprint that is none")
	}
	return jwk, nil
}

// prove is proveKey for the token endpoint, to be called once the client has authenticated.
func (s *Server) prove(r *http.Request) func() (jwk [32]byte, use *auth.ProofUse, err error) {
	if len(r.Header[headerDPoP]) == 0 {
		return nil
	}
	return func() (jwk [32]byte, use *auth.ProofUse, err error) {
		found, use, err := s.proveKey(r)
		if err != nil || found == nil {
			return jwk, nil, err
		}
		jwk, err = thumbprint(found)
		return jwk, use, err
	}
}

// spend records proofs that got no token.
func (s *Server) spend(ctx context.Context, uses []auth.ProofUse) error {
	if len(uses) == 0 {
		return nil
	}
	return s.config.Proofs.UseProofs(ctx, uses)
}

func replayedProof(err error) error {
	if _, replayed := errors.AsType[*auth.ReplayError](err); replayed {
		return fault.Wrap(fault.InvalidProof, "the proof was used before", err)
	}
	return err
}
