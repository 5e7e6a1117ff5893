package e2e

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/federation"
	proto "github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// spire is a trust domain with its bundle endpoint, as SPIRE is one, and an agent on it that serves the SPIFFE Workload API by go-spiffe.
type spire struct {
	proto.UnimplementedSpiffeWorkloadAPIServer

	domain   spiffeid.TrustDomain
	bundle   *spiffebundle.Bundle
	endpoint *httptest.Server // of the bundle

	mu        sync.Mutex
	id        spiffeid.ID // of the workload that asks the agent
	tokens    jose.JSONWebKey
	authority *x509.Certificate
	private   crypto.Signer // of authority
}

func newSpire(t *testing.T, domain string) *spire {
	t.Helper()
	s := &spire{domain: spiffeid.RequireTrustDomainFromString(domain)}
	s.bundle = spiffebundle.New(s.domain)
	s.bundle.SetRefreshHint(5 * time.Minute)
	s.Become("/ns/shop/sa/orders")
	s.RotateTokens(t, domain+" 1")
	s.RotateAuthority(t)
	handler, err := federation.NewHandler(s.domain, s.bundle)
	if err != nil {
		t.Fatal(err)
	}
	s.endpoint = httptest.NewTLSServer(handler)
	t.Cleanup(s.endpoint.Close)
	return s
}

// Become makes the workload that the agent attests another one.
func (s *spire) Become(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.id = spiffeid.RequireFromPath(s.domain, path)
}

// RotateTokens begins to sign JWT-SVIDs by a new key.
func (s *spire) RotateTokens(t *testing.T, kid string) {
	t.Helper()
	key := ellipticKey(t)
	if err := s.bundle.AddJWTAuthority(kid, key.Public()); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens = jose.JSONWebKey{Key: key, KeyID: kid}
}

// RotateAuthority begins to sign X.509-SVIDs by a new authority.
func (s *spire) RotateAuthority(t *testing.T) {
	t.Helper()
	key := ellipticKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, URIs: []*url.URL{s.domain.ID().URL()},
	}
	made := signed(t, template, template, key.Public(), key)
	s.bundle.AddX509Authority(made)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.authority, s.private = made, key
}

func ellipticKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func signed(t *testing.T, template, parent *x509.Certificate, public crypto.PublicKey, by crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, by)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// Agent serves the Workload API, and returns go-spiffe's client of it.
func (s *spire) Agent(t *testing.T) *workloadapi.Client {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	proto.RegisterSpiffeWorkloadAPIServer(server, s)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	client, err := workloadapi.New(t.Context(), workloadapi.WithAddr("tcp://"+listener.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		closes(t, client)
		server.Stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return client
}

func allowed(ctx context.Context) error {
	sent, _ := metadata.FromIncomingContext(ctx)
	if values := sent.Get("workload.spiffe.io"); len(values) != 1 || values[0] != "true" {
		return status.Error(codes.InvalidArgument, "security header missing from request")
	}
	return nil
}

// FetchJWTSVID implements the Workload API.
func (s *spire) FetchJWTSVID(ctx context.Context, r *proto.JWTSVIDRequest) (*proto.JWTSVIDResponse, error) {
	if err := allowed(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	id := s.id
	s.mu.Unlock()
	text, err := s.tokenOf(id.String(), r.GetAudience()...)
	if err != nil {
		return nil, err
	}
	return &proto.JWTSVIDResponse{Svids: []*proto.JWTSVID{{SpiffeId: id.String(), Svid: text}}}, nil
}

// tokenOf signs a JWT-SVID, which has no iss and no jti.
func (s *spire) tokenOf(id string, audience ...string) (string, error) {
	s.mu.Lock()
	key := s.tokens
	s.mu.Unlock()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", err
	}
	return jwt.Signed(signer).Claims(jwt.Claims{
		Subject: id, Audience: audience, Expiry: jwt.NewNumericDate(time.Now().Add(5 * time.Minute)), IssuedAt: jwt.NewNumericDate(time.Now()),
	}).Serialize()
}

// FetchX509SVID implements the Workload API. Its client asks anew for every certificate.
func (s *spire) FetchX509SVID(_ *proto.X509SVIDRequest, stream proto.SpiffeWorkloadAPI_FetchX509SVIDServer) error {
	if err := allowed(stream.Context()); err != nil {
		return err
	}
	s.mu.Lock()
	id, authority, private := s.id, s.authority, s.private
	s.mu.Unlock()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, URIs: []*url.URL{id.URL()},
	}
	der, certErr := x509.CreateCertificate(rand.Reader, template, authority, key.Public(), private)
	encoded, keyErr := x509.MarshalPKCS8PrivateKey(key)
	if err := errors.Join(certErr, keyErr); err != nil {
		return err
	}
	err = stream.Send(&proto.X509SVIDResponse{Svids: []*proto.X509SVID{{SpiffeId: id.String(), X509Svid: der, X509SvidKey: encoded, Bundle: authority.Raw}}})
	if err != nil {
		return err
	}
	<-stream.Context().Done()
	return nil
}
