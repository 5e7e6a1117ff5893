package issuer

import (
	"cmp"

	"github.com/countersign/countersign/sdk/strictjson"
)

// aliases are where clients with a certificate ask, RFC 8705 §5.
type aliases struct{ token, introspection, revocation, feed string }

func (a *aliases) member(name string, value strictjson.Value) (err error) {
	switch name {
	case "token_endpoint":
		a.token, err = value.String()
	case "introspection_endpoint":
		a.introspection, err = value.String()
	case "revocation_endpoint":
		a.revocation, err = value.String()
	case "countersign_revocation_endpoint":
		a.feed, err = value.String()
	}
	return err
}

// MutualTLS returns the metadata as it is for clients that show a certificate: mtls_endpoint_aliases, where there are some, are the endpoints.
func (m *Metadata) MutualTLS() *Metadata {
	own := *m
	own.TokenEndpoint = cmp.Or(m.aliases.token, m.TokenEndpoint)
	own.IntrospectionEndpoint = cmp.Or(m.aliases.introspection, m.IntrospectionEndpoint)
	own.RevocationEndpoint = cmp.Or(m.aliases.revocation, m.RevocationEndpoint)
	own.RevocationFeed = cmp.Or(m.aliases.feed, m.RevocationFeed)
	return &own
}
