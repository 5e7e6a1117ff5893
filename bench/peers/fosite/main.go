// Command fosite is an authorization server as the README of github.com/ory/fosite shows it: client credentials and introspection on the
// library's own store in memory.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"

	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/storage"
	"github.com/ory/fosite/token/jwt"

	"github.com/countersign/countersign/bench/peers/peer"
)

func main() {
	if err := peer.Run(os.Getenv, newServer); err != nil {
		slog.New(slog.NewTextHandler(os.Stderr, nil)).ErrorContext(context.Background(), "fosite", "error", err)
		os.Exit(1)
	}
}

// server answers by provider.
type server struct {
	provider fosite.OAuth2Provider
	jwt      bool
}

func newServer(s peer.Settings) (http.Handler, error) {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // it never fails
	config := &fosite.Config{GlobalSecret: secret, AccessTokenIssuer: "http://" + s.Listen}
	if !s.BCrypt {
		config.ClientSecretsHasher = hasher{}
	}
	ctx := context.Background()
	hash, err := config.GetSecretsHasher(ctx).Hash(ctx, []byte(s.Secret))
	if err != nil {
		return nil, fmt.Errorf("hash secret: %w", err)
	}
	store := storage.NewMemoryStore()
	store.Clients[s.Client] = &fosite.DefaultClient{ID: s.Client, Secret: hash, GrantTypes: []string{"client_credentials"}, Scopes: []string{"read", "write"}}
	var strategy oauth2.CoreStrategy = compose.NewOAuth2HMACStrategy(config)
	if s.JWT {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("make key: %w", err)
		}
		strategy = compose.NewOAuth2JWTStrategy(func(context.Context) (any, error) { return key, nil }, strategy, config)
	}
	answers := &server{jwt: s.JWT, provider: compose.Compose(config, store, &compose.CommonStrategy{CoreStrategy: strategy},
		compose.OAuth2ClientCredentialsGrantFactory, compose.OAuth2TokenIntrospectionFactory)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", answers.token)
	mux.HandleFunc("POST /introspect", answers.introspect)
	return mux, nil
}

func (s *server) session() fosite.Session {
	if s.jwt {
		return &oauth2.JWTSession{JWTClaims: &jwt.JWTClaims{}, JWTHeader: &jwt.Headers{}}
	}
	return &fosite.DefaultSession{}
}

func (s *server) token(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	request, err := s.provider.NewAccessRequest(ctx, r, s.session())
	if err != nil {
		s.provider.WriteAccessError(ctx, w, request, err)
		return
	}
	for _, scope := range request.GetRequestedScopes() {
		request.GrantScope(scope)
	}
	answer, err := s.provider.NewAccessResponse(ctx, request)
	if err != nil {
		s.provider.WriteAccessError(ctx, w, request, err)
		return
	}
	s.provider.WriteAccessResponse(ctx, w, request, answer)
}

func (s *server) introspect(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	answer, err := s.provider.NewIntrospectionRequest(ctx, r, s.session())
	if err != nil {
		s.provider.WriteIntrospectionError(ctx, w, err)
		return
	}
	s.provider.WriteIntrospectionResponse(ctx, w, answer)
}

// hasher keeps secrets by SHA-256, which is enough for those that were drawn at random.
type hasher struct{}

func (hasher) Hash(_ context.Context, secret []byte) ([]byte, error) {
	sum := sha256.Sum256(secret)
	return sum[:], nil
}

func (hasher) Compare(_ context.Context, hash, secret []byte) error {
	if sum := sha256.Sum256(secret); subtle.ConstantTimeCompare(hash, sum[:]) == 0 {
		return errors.New("not the secret")
	}
	return nil
}
