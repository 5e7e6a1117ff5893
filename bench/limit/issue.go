package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

const (
	lifetime = time.Hour
	scope    = "read write"
	audience = "https://bench.test"
	issuer   = "http://127.0.0.1"
)

// tokenIssuer holds one client and one key, and remembers what it issued.
type tokenIssuer struct {
	client string
	hash   [sha256.Size]byte // HMAC of the secret
	pepper []byte
	key    *ecdsa.PrivateKey
	header string
	writer *writer
	known  tokens
}

// answer is that of RFC 6749 §5.1.
type answer struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int    `json:"expires_in"`
	Scope       string `json:"scope"`
}

func newIssuer(client, secret string, w *writer, known tokens) (*tokenIssuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	pepper := []byte(rand.Text())
	header := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES256","typ":"at+jwt","kid":"key_0123456789012345678901"}`))
	i := &tokenIssuer{client: client, pepper: pepper, key: key, header: header, writer: w, known: known}
	i.hash = i.mac(secret)
	return i, nil
}

func (i *tokenIssuer) mac(secret string) (sum [sha256.Size]byte) {
	h := hmac.New(sha256.New, i.pepper)
	h.Write([]byte(secret))
	h.Sum(sum[:0])
	return sum
}

// admitted parses the form and checks the client's secret.
func (i *tokenIssuer) admitted(w http.ResponseWriter, r *http.Request) bool {
	if err := r.ParseForm(); err != nil {
		http.Error(w, "form", http.StatusBadRequest)
		return false
	}
	client, secret, ok := r.BasicAuth()
	sum := i.mac(secret)
	if !ok || client != i.client || !hmac.Equal(sum[:], i.hash[:]) {
		http.Error(w, "client", http.StatusUnauthorized)
		return false
	}
	return true
}

func newRow() *row {
	now := time.Now().Truncate(time.Second)
	t := &row{issued: now, expires: now.Add(lifetime)}
	binary.BigEndian.PutUint32(t.id[:4], uint32(t.expires.Unix()/900)) //nolint:gosec // until the year 2106
	binary.BigEndian.PutUint32(t.id[4:8], uint32(now.Unix()))          //nolint:gosec // until the year 2106
	_, _ = rand.Read(t.id[8:])
	return t
}

// jwt signs while the row is being committed, and answers when both are done.
func (i *tokenIssuer) jwt(w http.ResponseWriter, r *http.Request) {
	if !i.admitted(w, r) {
		return
	}
	t := newRow()
	done := i.writer.add(t)
	text, err := i.sign(t)
	if err == nil {
		err = <-done
	}
	i.reply(r.Context(), w, text, t, err)
}

func (i *tokenIssuer) opaque(w http.ResponseWriter, r *http.Request) {
	if !i.admitted(w, r) {
		return
	}
	t := newRow()
	var secret [32]byte
	_, _ = rand.Read(secret[:])
	t.proof = sha256.Sum256(secret[:])
	err := <-i.writer.add(t)
	i.reply(r.Context(), w, base64.RawURLEncoding.EncodeToString(append(t.id[:], secret[:]...)), t, err)
}

func (i *tokenIssuer) sign(t *row) (string, error) {
	id := base64.RawURLEncoding.EncodeToString(t.id[:])
	claims := fmt.Appendf(nil, `{"iss":%q,"sub":%q,"client_id":%q,"aud":%q,"exp":%d,"iat":%d,"jti":%q,"scope":%q}`,
		issuer, i.client, i.client, audience, t.expires.Unix(), t.issued.Unix(), id, scope)
	text := make([]byte, 0, 512)
	text = append(append(text, i.header...), '.')
	text = base64.RawURLEncoding.AppendEncode(text, claims)
	digest := sha256.Sum256(text)
	x, y, err := ecdsa.Sign(rand.Reader, i.key, digest[:])
	if err != nil {
		return "", err
	}
	var signature [64]byte
	x.FillBytes(signature[:32])
	y.FillBytes(signature[32:])
	return string(base64.RawURLEncoding.AppendEncode(append(text, '.'), signature[:])), nil
}

func (i *tokenIssuer) reply(ctx context.Context, w http.ResponseWriter, text string, t *row, err error) {
	if err == nil {
		err = i.known.put(ctx, sha256.Sum256([]byte(text)), t)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	reply(w, answer{AccessToken: text, TokenType: "Bearer", ExpiresIn: int(lifetime / time.Second), Scope: scope})
}

func reply(w http.ResponseWriter, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(body) // who has gone cannot be told
}
