package server_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/sdk/proof"
	"github.com/countersign/countersign/server/auth"
)

// BenchmarkProofs is what requests for a JWT cost whose clients sign something, beside the bare signatures: those that are checked, and the
// token's own. Replays are not looked for, so that the same request can be sent again.
func BenchmarkProofs(b *testing.B) {
	key, err := proof.GenerateKey(jose.ES256)
	if err != nil {
		b.Fatal(err)
	}
	for _, bench := range []struct {
		name           string
		asserted, held bool
		checked        int
	}{
		{"secret", false, false, 0},
		{"private_key_jwt", true, false, 1},
		{"secret, DPoP", false, true, 1},
		{"private_key_jwt, DPoP", true, true, 2},
	} {
		b.Run(bench.name, func(b *testing.B) {
			w := newWorldAt(b, issuer, nil)
			w.log.forget()
			form, caller := url.Values{"grant_type": {"client_credentials"}, "resource": {jwtAPI}}, w.caller
			if bench.asserted {
				w.register(w.poster.id, key)
				caller = w.poster
				text, err := key.Assertion(caller.id.String(), issuer)
				w.check(err)
				form.Set("client_assertion_type", auth.JWTBearer)
				form.Set("client_assertion", text)
			}
			w.ledger.Ledger = atOnce{w.ledger.Ledger}
			handler, text, body := w.server.Public(), form.Encode(), strings.NewReader("")
			r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, "/oauth2/token", io.NopCloser(body))
			w.check(err)
			r.RemoteAddr, r.ContentLength = "192.0.2.1:1234", int64(len(text))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if !bench.asserted {
				basic(caller)(r)
			}
			if bench.held {
				at, err := url.Parse(issuer + "/oauth2/token")
				w.check(err)
				proven, err := key.DPoP(proof.Use{Method: http.MethodPost, URL: at})
				w.check(err)
				r.Header.Set("DPoP", proven)
			}
			answer := &plainWriter{header: http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				body.Reset(text)
				clear(answer.header)
				answer.status, answer.body = 0, answer.body[:0]
				handler.ServeHTTP(answer, r)
				if answer.status != http.StatusOK || len(answer.body) < 100 {
					b.Fatalf("%d %s", answer.status, answer.body)
				}
			}
		})
		b.Run(bench.name+", bare signatures", func(b *testing.B) { bareSignatures(b, bench.checked) })
	}
}

// bareSignatures makes one ES256 signature and checks some.
func bareSignatures(b *testing.B, checked int) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	digest := sha256.Sum256([]byte(fmt.Sprint(checked)))
	for b.Loop() {
		r, s, err := ecdsa.Sign(rand.Reader, private, digest[:])
		if err != nil {
			b.Fatal(err)
		}
		for range checked {
			if !ecdsa.Verify(&private.PublicKey, digest[:], r, s) {
				b.Fatal("does not verify")
			}
		}
	}
}

// register gives a client a key in place of its secrets.
func (w *world) register(id auth.ClientID, key *proof.Key) {
	w.Helper()
	w.check(w.store.Update(w.Context(), func(tx auth.Tx) error {
		c, err := tx.Clients().Client(w.Context(), id)
		if err != nil {
			return err
		}
		c.AuthMethod, c.Proofs = auth.PrivateKeyJWT, auth.Proofs{JWKS: fmt.Appendf(nil, `{"keys":[%s]}`, key.PublicJWK())}
		if err := tx.Clients().PutClient(w.Context(), c); err != nil {
			return err
		}
		return tx.Changes().Append(w.Context(), auth.Change{Kind: auth.ClientChanged, Subject: id})
	}))
	w.reached()
}
