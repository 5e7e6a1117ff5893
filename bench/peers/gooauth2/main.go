// Command gooauth2 is an authorization server as the README of github.com/go-oauth2/oauth2 shows it: client credentials, with tokens and
// client in the library's own stores in memory. The library has no introspection.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"os"

	"github.com/go-oauth2/oauth2/v4/generates"
	"github.com/go-oauth2/oauth2/v4/manage"
	"github.com/go-oauth2/oauth2/v4/models"
	"github.com/go-oauth2/oauth2/v4/server"
	"github.com/go-oauth2/oauth2/v4/store"
	"github.com/golang-jwt/jwt/v5"

	"github.com/countersign/countersign/bench/peers/peer"
)

func main() {
	if err := peer.Run(os.Getenv, newServer); err != nil {
		slog.New(slog.NewTextHandler(os.Stderr, nil)).ErrorContext(context.Background(), "gooauth2", "error", err)
		os.Exit(1)
	}
}

func newServer(s peer.Settings) (http.Handler, error) {
	manager := manage.NewDefaultManager()
	manager.MustTokenStorage(store.NewMemoryTokenStore())
	clients := store.NewClientStore()
	if err := clients.Set(s.Client, &models.Client{ID: s.Client, Secret: s.Secret}); err != nil {
		return nil, fmt.Errorf("keep client: %w", err)
	}
	manager.MapClientStorage(clients)
	if s.JWT {
		key, err := newKey()
		if err != nil {
			return nil, err
		}
		manager.MapAccessGenerate(generates.NewJWTAccessGenerate("first", key, jwt.SigningMethodES256))
	}
	answers := server.NewDefaultServer(manager)
	answers.SetClientInfoHandler(server.ClientBasicHandler)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		_ = answers.HandleTokenRequest(w, r) // it has answered
	})
	return mux, nil
}

// newKey returns a new private key as PEM, the form in which the library takes it.
func newKey() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
