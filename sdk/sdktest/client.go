package sdktest

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

const (
	methodBasic = "client_secret_basic"
	methodPost  = "client_secret_post"
)

// registered is a client; its newest secret is the last.
type registered struct{ secrets []string }

// AddClient registers a client with a secret. A client that is there already gets a further secret, as in the overlap of a rotation.
func (i *Issuer) AddClient(id, secret string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	c := i.clients[id]
	if c == nil {
		c = &registered{}
		i.clients[id] = c
	}
	c.secrets = append(c.secrets, secret)
}

// RotateSecret makes secret the only one of the client: from now on all others are refused.
func (i *Issuer) RotateSecret(id, secret string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.clients[id] = &registered{secrets: []string{secret}}
}

// ClientID returns the id of the client that is there from the start. It may ask for tokens and introspect any.
func (i *Issuer) ClientID() string { return i.id }

// ClientSecret returns the secret that the client of [Issuer.ClientID] has from the start.
func (i *Issuer) ClientSecret() string { return i.secret }

// Credential returns the id of the client's newest secret, as tokens bear it in cs_sec; empty if there is no such client.
func (i *Issuer) Credential(clientID string) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	c := i.clients[clientID]
	if c == nil {
		return ""
	}
	return credentialID(c.secrets[len(c.secrets)-1])
}

func credentialID(secret string) string { return idOf("sec_", secret) }

// authenticate tells which client sends a request (RFC 6749 §2.3.1) and by which credential, or refuses it.
func (i *Issuer) authenticate(w http.ResponseWriter, r *http.Request) (client, credential string, ok bool) {
	client, secret, method := credentials(r)
	methods := i.config.methods
	if len(methods) == 0 {
		methods = []string{methodBasic}
	}
	i.mu.Lock()
	known := i.clients[client]
	ok = known != nil && slices.Contains(known.secrets, secret) && slices.Contains(methods, method)
	i.mu.Unlock()
	if !ok {
		refuse(w, http.StatusUnauthorized, "", "client authentication failed")
	}
	return client, credentialID(secret), ok
}

// credentials reads what the request bears, which may be nothing.
func credentials(r *http.Request) (client, secret, method string) {
	scheme, encoded, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Basic") {
		return r.PostForm.Get("client_id"), r.PostForm.Get("client_secret"), methodPost
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil || r.PostForm.Has("client_secret") {
		return "", "", methodBasic
	}
	first, second, _ := strings.Cut(string(raw), ":")
	if client, err = url.QueryUnescape(first); err == nil {
		secret, err = url.QueryUnescape(second)
	}
	if err != nil {
		return "", "", methodBasic
	}
	return client, secret, methodBasic
}
