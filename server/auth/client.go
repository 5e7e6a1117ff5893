package auth

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/countersign/countersign/internal/fault"
)

// Method is how a client authenticates: a `token_endpoint_auth_method` of RFC 7591 §2. Only the registered one is accepted.
type Method string

// The methods that this server offers.
const (
	SecretBasic Method = "client_secret_basic" // RFC 6749 §2.3.1, in the Authorization header
	SecretPost  Method = "client_secret_post"  // RFC 6749 §2.3.1, in the body

	PrivateKeyJWT Method = "private_key_jwt"             // RFC 7523 §2.2, by a key of the client
	TLSClientAuth Method = "tls_client_auth"             // RFC 8705 §2.1, by a certificate of a trusted authority
	SelfSignedTLS Method = "self_signed_tls_client_auth" // RFC 8705 §2.2, by a certificate that is registered
	FederatedJWT  Method = "federated_jwt"               // RFC 7523 §2.2, by a token of a trusted issuer
	SPIFFEJWT     Method = "spiffe_jwt"                  // draft-ietf-oauth-spiffe-client-auth, by a JWT-SVID
	SPIFFEX509    Method = "spiffe_x509"                 // the same, by an X.509-SVID
)

// Methods lists every method.
func Methods() []Method {
	return []Method{SecretBasic, SecretPost, PrivateKeyJWT, TLSClientAuth, SelfSignedTLS, FederatedJWT, SPIFFEJWT, SPIFFEX509}
}

// BySecret reports whether the method is by a secret.
func (m Method) BySecret() bool { return m == SecretBasic || m == SecretPost }

// ByCertificate reports whether the method is by the certificate of the TLS connection.
func (m Method) ByCertificate() bool {
	return m == TLSClientAuth || m == SelfSignedTLS || m == SPIFFEX509
}

// Client is a service that calls others.
type Client struct {
	ID       ClientID
	Revision int64  // counts the changes of this row, from 1; 0 is a client that is not stored yet
	Name     string // unique
	// Description, Owner and Labels are for people and filters.
	Description string
	Owner       string
	Labels      map[string]string
	Status      Status
	AuthMethod  Method
	Proofs      Proofs
	// DefaultResource is the API for which a token is asked when the request names no resource. The first grant sets it, so
	// that a later grant never breaks a caller. Zero: none.
	DefaultResource APIID
	Created         time.Time
	Updated         time.Time
}

const (
	maxName   = 200
	maxText   = 2000
	maxLabels = 32
)

// Validate returns fault.InvalidRequest, with the field at fault, for a client that must not be stored.
func (c *Client) Validate() error {
	if err := validLine("name", c.Name, 1); err != nil {
		return err
	}
	if err := validText("description", c.Description, 0, maxText); err != nil {
		return err
	}
	if err := validLine("owner", c.Owner, 0); err != nil {
		return err
	}
	if len(c.Labels) > maxLabels {
		return fault.New(fault.InvalidRequest, "at most 32 labels are allowed").At("labels")
	}
	for _, key := range slices.Sorted(maps.Keys(c.Labels)) {
		if validLine("labels", key, 1) != nil || validLine("labels", c.Labels[key], 0) != nil {
			return fault.New(fault.InvalidRequest, "label names have 1 to 200, values at most 200 printable characters").At("labels")
		}
	}
	switch c.Status {
	case Active, Disabled:
	default:
		return fault.New(fault.InvalidRequest, `allowed are "active" and "disabled"`).At("status")
	}
	if !slices.Contains(Methods(), c.AuthMethod) {
		return fault.New(fault.InvalidRequest, "allowed are "+quoted(Methods())).At("token_endpoint_auth_method")
	}
	return c.Proofs.validate(c.AuthMethod)
}

// quoted lists values for people.
func quoted[T ~string](values []T) string {
	var b strings.Builder
	for i, v := range values {
		switch i {
		case 0:
		case len(values) - 1:
			b.WriteString(" and ")
		default:
			b.WriteString(", ")
		}
		b.WriteString(strconv.Quote(string(v)))
	}
	return b.String()
}

// validText bounds a text for people: length in characters, no control characters but the ends of lines and tabs.
func validText(field, text string, low, high int) error {
	control := strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' })
	if n := utf8.RuneCountInString(text); n < low || n > high || control || !utf8.ValidString(text) {
		if low > 0 {
			return fault.New(fault.InvalidRequest, "must not be empty, too long, or hold control characters").At(field)
		}
		return fault.New(fault.InvalidRequest, "is too long or holds control characters").At(field)
	}
	return nil
}

// validLine is validText for what people tell things apart by, in lists, logs and questions: one line of at most maxName characters that
// can all be seen, without space around it. Nothing may look like another name, or like more than one.
func validLine(field, text string, low int) error {
	if err := validText(field, text, low, maxName); err != nil {
		return err
	}
	if text != strings.TrimSpace(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return fault.New(fault.InvalidRequest, "must be one line of printable characters, without space around it").At(field)
	}
	return nil
}
