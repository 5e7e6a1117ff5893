package sdkgrpc_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"math/big"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/countersign/countersign/sdk/proof"
	"github.com/countersign/countersign/sdk/sdkgrpc"
	"github.com/countersign/countersign/sdk/sdktest"
)

func TestBoundTokens(t *testing.T) {
	verifier, issuer := newVerifier(t)
	guard := newGuard(t, verifier, sdkgrpc.Policies{"*": {}})
	mine, other := newCertificate(t), newCertificate(t)
	server := credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{newCertificate(t)}, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS13})
	conn := map[string]*grpc.ClientConn{}
	for name, certificates := range map[string][]tls.Certificate{"mine": {mine}, "other": {other}, "none": nil} {
		client := credentials.NewTLS(&tls.Config{Certificates: certificates, InsecureSkipVerify: true, MinVersion: tls.VersionTLS13})
		conn[name] = serve(t, newServer(append(guard.ServerOptions(), grpc.Creds(server))...), grpc.WithTransportCredentials(client))
	}
	conn["plaintext"] = serve(t, newServer(guard.ServerOptions()...))
	hash := proof.CertificateThumbprint(mine.Leaf)
	certified := issuer.Mint(sdktest.Claims{Members: map[string]any{"cnf": map[string]any{"x5t#S256": base64.RawURLEncoding.EncodeToString(hash[:])}}})
	keyed := issuer.Mint(sdktest.Claims{Members: map[string]any{"cnf": map[string]any{"jkt": base64.RawURLEncoding.EncodeToString(hash[:])}}})
	for _, tt := range []struct {
		name, conn, authorization string
		code                      codes.Code
		says                      string
	}{
		{"B01: the right certificate", "mine", "Bearer " + certified, codes.OK, ""},
		{"B02: another one", "other", "Bearer " + certified, codes.Unauthenticated, "another client certificate"},
		{"B03: none", "none", "Bearer " + certified, codes.Unauthenticated, "client certificate"},
		{"B03: without TLS", "plaintext", "Bearer " + certified, codes.Unauthenticated, "client certificate"},
		{"D16: DPoP token as bearer", "mine", "Bearer " + keyed, codes.Unauthenticated, "bound to a key"},
		{"DPoP", "mine", "DPoP " + keyed, codes.Unauthenticated, "not possible over gRPC"},
		{"a plain token", "none", "Bearer " + issuer.Mint(sdktest.Claims{}), codes.OK, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", tt.authorization)
			_, err := ask(ctx, conn[tt.conn])
			if got := status.Convert(err); got.Code() != tt.code || !strings.Contains(got.Message(), tt.says) {
				t.Errorf("got %v, want %v: %s", err, tt.code, tt.says)
			}
		})
	}
}

func newCertificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}
