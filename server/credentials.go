package server

import (
	"crypto/x509"
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// identity is what a request says about who sends it: credentials of a client, or an access token.
type identity struct {
	credentials auth.Credentials
	bearer      string // empty: credentials
	dpop        bool   // the access token came with the scheme DPoP, RFC 9449 §7.1
	// held is what the sender proved to hold: at first the certificate of its connection alone.
	held auth.Confirmation
}

// identify reads it, checking nothing but form. chain is the certificates of the connection, if there are. More than one way at once is
// fault.InvalidRequest (RFC 6749 §2.3), none, or one that is not known, fault.InvalidClient. A certificate is a way only where there is no
// other: it may be there for binding the token alone.
func identify(h http.Header, f form, chain []*x509.Certificate) (identity, error) {
	headers := h["Authorization"]
	inBody := f.value("client_secret") != ""
	asserted := f.value("client_assertion") != "" || f.value("client_assertion_type") != ""
	if len(headers) > 1 || len(headers) == 1 && (inBody || asserted) || inBody && asserted {
		return identity{}, fault.New(fault.InvalidRequest, "the client authenticated in more than one way")
	}
	if len(headers) == 0 {
		c, err := credentialsOf(f, chain)
		return identity{credentials: c}, err
	}
	who, err := parseAuthorization(headers[0])
	if err != nil {
		return identity{}, err
	}
	if id := f.value("client_id"); id != "" && who.bearer == "" && id != who.credentials.ClientID {
		return identity{}, fault.New(fault.InvalidRequest, "is not the client of the Authorization header").At("client_id")
	}
	return who, nil
}

// credentialsOf reads the credentials of a request without Authorization header.
func credentialsOf(f form, chain []*x509.Certificate) (auth.Credentials, error) {
	c := auth.Credentials{ClientID: f.value("client_id"), Certificates: chain}
	kind, text := f.value("client_assertion_type"), f.value("client_assertion")
	switch {
	case text != "" || kind != "":
		if text == "" {
			return c, fault.New(fault.InvalidRequest, "the parameter is missing").At("client_assertion")
		}
		if kind != auth.JWTBearer && kind != auth.SPIFFEBearer {
			return c, fault.New(fault.InvalidRequest, "supported are "+auth.JWTBearer+" and "+auth.SPIFFEBearer).At("client_assertion_type")
		}
		c.Assertion = auth.PresentedAssertion(kind, text)
	case f.value("client_secret") != "":
		c.Secret, c.Method = auth.PresentedSecret(f.value("client_secret")), auth.SecretPost
	case len(chain) > 0 && c.ClientID == "":
		return c, fault.New(fault.InvalidRequest, "a client that authenticates by its certificate names itself (RFC 8705, section 2)").At("client_id")
	case len(chain) > 0:
		c.Method = auth.TLSClientAuth
	default:
		return c, fault.New(fault.InvalidClient, "the client did not authenticate in a way that is supported here")
	}
	return c, nil
}

// parseAuthorization reads an Authorization header. Schemes are case-insensitive (RFC 9110 §11.1).
func parseAuthorization(header string) (identity, error) {
	scheme, rest, _ := strings.Cut(header, " ")
	switch {
	case strings.EqualFold(scheme, "Basic"):
		id, secret, err := parseBasic(rest)
		return identity{credentials: auth.Credentials{
			ClientID: id, Secret: auth.PresentedSecret(secret), Method: auth.SecretBasic,
		}}, err
	case strings.EqualFold(scheme, "Bearer"):
		token := strings.TrimLeft(rest, " ")
		if !validBearer(token) {
			return identity{}, fault.New(fault.InvalidRequest, "the bearer token is malformed")
		}
		return identity{bearer: token}, nil
	case strings.EqualFold(scheme, "DPoP"):
		token := strings.TrimLeft(rest, " ")
		if !validBearer(token) {
			return identity{}, fault.New(fault.InvalidRequest, "the access token is malformed")
		}
		return identity{bearer: token, dpop: true}, nil
	}
	return identity{}, fault.New(fault.InvalidClient, "the client did not authenticate in a way that is supported here")
}

// validBearer is b64token of RFC 6750 §2.1.
func validBearer(token string) bool {
	body := strings.TrimRight(token, "=")
	for i := range len(body) {
		switch c := body[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~+/", c) >= 0:
		default:
			return false
		}
	}
	return body != ""
}

const typicalBasic = 256

//nolint:gochecknoglobals // a constant in all but name
var strictBase64 = base64.StdEncoding.Strict()

// parseBasic reads the credentials of the Basic scheme (RFC 7617 §2): base64 of id, colon and secret, both
// form-url-encoded (RFC 6749 §2.3.1). It is strict, so that no two headers mean the same and nothing is half decoded.
func parseBasic(encoded string) (id, secret string, err error) {
	var sent, room [typicalBasic]byte // do not leave the stack, and hold what is sent, as a rule
	raw, err := strictBase64.AppendDecode(room[:0], append(sent[:0], strings.TrimLeft(encoded, " ")...))
	if err != nil || strings.IndexByte(encoded, '\r') >= 0 || strings.IndexByte(encoded, '\n') >= 0 {
		return "", "", fault.New(fault.InvalidRequest, "the Basic credentials are not base64")
	}
	first, second, found := strings.Cut(string(raw), ":")
	if !found {
		return "", "", fault.New(fault.InvalidRequest, "the Basic credentials have no colon")
	}
	if id, err = unescape(first); err == nil {
		secret, err = unescape(second)
	}
	if err != nil || !clean(id) || !clean(secret) {
		return "", "", fault.New(fault.InvalidRequest, "the Basic credentials are not form-url-encoded (RFC 6749, section 2.3.1)")
	}
	return id, secret, nil
}
