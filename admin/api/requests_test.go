package api_test

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"time"

	"github.com/countersign/countersign/admin/wire"
	"github.com/countersign/countersign/server/auth"
)

// any forces a change.
func forced() http.Header { return ifMatch("*") }

func (w *world) newClient() wire.Client {
	w.Helper()
	made, _ := want[wire.Client](w, http.StatusCreated, call{method: http.MethodPost, path: "/clients", body: wire.ClientBody{Name: "client-" + rand.Text()}})
	return made
}

// newKeyed makes a client that authenticates by a key.
func (w *world) newKeyed() wire.Client {
	w.Helper()
	made, _ := want[wire.Client](w, http.StatusCreated, call{method: http.MethodPost, path: "/clients", body: wire.ClientBody{
		Name: "keyed-" + rand.Text(), AuthMethod: "private_key_jwt", Proofs: wire.Proofs{JWKS: publicKeys()},
	}})
	return made
}

func (w *world) newAPI() wire.API {
	w.Helper()
	made, _ := want[wire.API](w, http.StatusCreated, call{method: http.MethodPost, path: "/apis", body: wire.APIBody{
		Identifier: "https://" + rand.Text() + ".test", Name: "Inventory", Scopes: []wire.Scope{{Name: "read"}, {Name: "write"}},
	}})
	return made
}

func (w *world) newSecret(client string) wire.NewSecret {
	w.Helper()
	made, _ := want[wire.NewSecret](w, http.StatusCreated, call{method: http.MethodPost, path: "/clients/" + client + "/secrets"})
	return made
}

// newGrant makes a client, an API and a grant, and returns the path of the grant.
func (w *world) newGrant() (api, path string) {
	w.Helper()
	client := w.newClient().ID
	api = w.newAPI().ID
	path = "/clients/" + client + "/grants/" + api
	want[wire.Grant](w, http.StatusCreated, call{
		method: http.MethodPut, path: path, body: wire.GrantBody{Scopes: []string{"read", "write"}}, header: header("If-None-Match", "*"),
	})
	return api, path
}

func keysOfIssuer() wire.TrustedIssuerKeys {
	return wire.TrustedIssuerKeys{JWKS: publicKeys()}
}

// publicKeys is a key set.
func publicKeys() map[string]any {
	return map[string]any{"keys": []any{map[string]any{
		"kty": "EC", "crv": "P-256", "x": "YLl19cP2w7CRqP3zX9hEukKKFZSkCFRJZXNBzDYT9vw", "y": "khJHaH0_HyrO2QOso92-7Iu33fJolhoh_EjZwYHeQbc",
	}}}
}

func (w *world) newIssuer() wire.TrustedIssuer {
	w.Helper()
	made, _ := want[wire.TrustedIssuer](w, http.StatusCreated, call{method: http.MethodPost, path: "/trusted-issuers", body: wire.TrustedIssuerBody{
		Name: rand.Text(), Issuer: "https://" + rand.Text() + ".test", TrustedIssuerKeys: keysOfIssuer(),
	}})
	return made
}

// newExchange makes a client, two APIs and a grant to exchange tokens, and returns its path.
func (w *world) newExchange() string {
	w.Helper()
	path := "/clients/" + w.newClient().ID + "/exchanges/" + w.newAPI().ID + "/" + w.newAPI().ID
	want[wire.Exchange](w, http.StatusCreated, call{
		method: http.MethodPut, path: path, body: wire.ExchangeBody{Scopes: []wire.ExchangeScope{{Scope: "read"}, {Scope: "write"}}}, header: forcedAbsent(),
	})
	return path
}

// newToken returns the id of a token that root was issued.
func (w *world) newToken() string {
	w.Helper()
	w.ask(w.root, auth.AdminAPI, "keys:read")
	page, _ := want[wire.List[wire.Token]](w, http.StatusOK, call{method: http.MethodGet, path: "/clients/" + w.root.ID.String() + "/tokens?limit=200"})
	for _, t := range page.Items {
		if t.Scope == "keys:read" {
			return t.ID
		}
	}
	w.Fatal("the token that was issued is not listed")
	return ""
}

// newKey returns the id of a key that does not sign yet.
func (w *world) newKey() string {
	w.Helper()
	keys, _ := want[wire.List[wire.Key]](w, http.StatusOK, call{method: http.MethodGet, path: "/keys"})
	for _, k := range keys.Items {
		if k.State == "next" && k.Algorithm == "ES256" {
			return k.ID
		}
	}
	made, _ := want[wire.Key](w, http.StatusCreated, call{method: http.MethodPost, path: "/keys/rotate", body: wire.KeyRotationBody{Algorithm: "ES256"}})
	return made.ID
}

// valid returns, for each operation, a request that succeeds for whoever holds its scopes. It makes what the request needs.
func (w *world) valid() map[string]func() call {
	const get, post, put, patch, del = http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete
	read := func(path string) func() call { return func() call { return call{method: get, path: path} } }
	client := func(method, suffix string, body any, h http.Header) func() call {
		return func() call {
			return call{method: method, path: "/clients/" + w.newClient().ID + suffix, body: body, header: h}
		}
	}
	secret := func(method, suffix string, body any, h http.Header) func() call {
		return func() call {
			s := w.newSecret(w.newClient().ID)
			return call{method: method, path: "/clients/" + s.Client + "/secrets/" + s.ID + suffix, body: body, header: h}
		}
	}
	api := func(method string, body func(wire.API) any, h http.Header) func() call {
		return func() call {
			a := w.newAPI()
			return call{method: method, path: "/apis/" + a.ID, body: body(a), header: h}
		}
	}
	server := func(method string) func() call {
		return func() call {
			return call{method: method, path: "/apis/" + w.newAPI().ID + "/servers/" + w.newClient().ID}
		}
	}
	grant := func(method string, body any, h http.Header) func() call {
		return func() call {
			_, path := w.newGrant()
			return call{method: method, path: path, body: body, header: h}
		}
	}
	issuer := func(method string, body any, h http.Header) func() call {
		return func() call {
			return call{method: method, path: "/trusted-issuers/" + w.newIssuer().ID, body: body, header: h}
		}
	}
	exchange := func(method string, body any, h http.Header) func() call {
		return func() call { return call{method: method, path: w.newExchange(), body: body, header: h} }
	}
	none := func(wire.API) any { return nil }
	document := wire.Document{Version: wire.DocumentVersion}
	return map[string]func() call{
		"listClients":   read("/clients"),
		"createClient":  func() call { return call{method: post, path: "/clients", body: wire.ClientBody{Name: rand.Text()}} },
		"getClient":     client(get, "", nil, nil),
		"putClient":     client(put, "", wire.ClientBody{Name: "put-" + rand.Text()}, forced()),
		"patchClient":   client(patch, "", `{"owner":"me"}`, forced()),
		"deleteClient":  client(del, "", nil, forced()),
		"disableClient": client(post, "/disable", nil, nil),
		"enableClient":  client(post, "/enable", nil, nil),

		"listSecrets":   client(get, "/secrets", nil, nil),
		"addSecret":     client(post, "/secrets", wire.SecretBody{Expires: new(time.Now().Add(time.Hour))}, nil),
		"rotateSecrets": client(post, "/secrets/rotate", wire.RotationBody{Overlap: new(int64(60))}, nil),
		"getSecret":     secret(get, "", nil, nil),
		"patchSecret":   secret(patch, "", `{"expires_at":null}`, forced()),
		"deleteSecret": func() call {
			s := w.newSecret(w.newClient().ID)
			path := "/clients/" + s.Client + "/secrets/" + s.ID
			want[wire.SecretChange](w, http.StatusOK, call{method: post, path: path + "/disable"})
			return call{method: del, path: path, header: forced()}
		},
		"disableSecret": secret(post, "/disable", wire.DisableBody{Compromised: true}, nil),
		"enableSecret":  secret(post, "/enable", nil, nil),

		"listAPIs": read("/apis"),
		"createAPI": func() call {
			return call{method: post, path: "/apis", body: wire.APIBody{Identifier: "https://" + rand.Text() + ".test", Name: "x"}}
		},
		"getAPI":       api(get, none, nil),
		"putAPI":       api(put, func(a wire.API) any { return wire.APIBody{Identifier: a.Identifier, Name: "renamed", Scopes: a.Scopes} }, forced()),
		"patchAPI":     api(patch, func(wire.API) any { return `{"token_lifetime_seconds":900}` }, forced()),
		"deleteAPI":    api(del, none, forced()),
		"putServer":    server(put),
		"deleteServer": server(del),

		"listGrants":  read("/grants"),
		"getGrant":    grant(get, nil, nil),
		"putGrant":    grant(put, wire.GrantBody{Scopes: []string{"read"}}, forced()),
		"deleteGrant": grant(del, nil, forced()),

		"listTrustedIssuers": read("/trusted-issuers?name=nobody"),
		"createTrustedIssuer": func() call {
			return call{method: post, path: "/trusted-issuers", body: wire.TrustedIssuerBody{Name: rand.Text(), Issuer: "https://" + rand.Text() + ".test", TrustedIssuerKeys: keysOfIssuer()}}
		},
		"getTrustedIssuer":    issuer(get, nil, nil),
		"patchTrustedIssuer":  issuer(patch, `{"audience":"https://aud.test"}`, forced()),
		"deleteTrustedIssuer": issuer(del, nil, forced()),

		"listExchanges":  read("/exchanges"),
		"getExchange":    exchange(get, nil, nil),
		"putExchange":    exchange(put, wire.ExchangeBody{Scopes: []wire.ExchangeScope{{Scope: "write", Needs: "read"}}}, forced()),
		"deleteExchange": exchange(del, nil, forced()),

		"listTokens":         client(get, "/tokens", nil, nil),
		"revokeClientTokens": client(del, "/tokens", nil, nil),
		"getToken":           func() call { return call{method: get, path: "/tokens/" + w.newToken()} },
		"revokeToken":        func() call { return call{method: del, path: "/tokens/" + w.newToken()} },
		"revokeTokens": func() call {
			return call{method: post, path: "/revocations", body: wire.RevocationBody{Client: w.newClient().ID}}
		},
		"reportLeak": func() call {
			return call{method: post, path: "/leaks", body: wire.LeakBody{Value: w.newSecret(w.newClient().ID).Value}}
		},

		"listKeys": read("/keys"),
		"rotateKey": func() call { // makes room for the next key first
			want[wire.Revocation](w, http.StatusOK, call{method: post, path: "/keys/" + w.newKey() + "/revoke"})
			return call{method: post, path: "/keys/rotate", body: wire.KeyRotationBody{Algorithm: "ES256"}}
		},
		"revokeKey": func() call { return call{method: post, path: "/keys/" + w.newKey() + "/revoke"} },

		"listEvents":   read("/audit"),
		"getAuditHead": read("/audit/head"),
		"verifyAudit":  func() call { return call{method: post, path: "/audit/verify", body: wire.AuditVerification{}} },
		"exportAudit":  read("/audit/export"),
		"listFailures": read("/audit/failures"),
		"getEvent": func() call {
			page, _ := want[wire.List[wire.Event]](w, http.StatusOK, call{method: get, path: "/audit?limit=1"})
			return call{method: get, path: "/audit/" + page.Items[0].ID}
		},

		"listUnused": read("/insights/unused?days=1"),
		"getGraph":   read("/graph"),
		"explain":    func() call { return call{method: get, path: fmt.Sprintf("/explain?client=%s", w.root.ID)} },

		"exportConfiguration": read("/export"),
		"applyConfiguration":  func() call { return call{method: post, path: "/apply", body: wire.ApplyBody{Document: document}} },
	}
}
