package server

import (
	"encoding/json"
	"net/http"
	"strconv"
	"sync"

	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/oauth"
)

// buffers are memory for bodies that come and go. The zero value is ready.
type buffers struct{ pool sync.Pool }

const (
	typicalBuffer = 1 << 10
	keptBuffer    = 16 << 10 // what grew beyond is left to the collector
)

// take returns an empty buffer.
func (b *buffers) take() *[]byte {
	if buffer, ok := b.pool.Get().(*[]byte); ok {
		*buffer = (*buffer)[:0]
		return buffer
	}
	buffer := make([]byte, 0, typicalBuffer)
	return &buffer
}

func (b *buffers) put(buffer *[]byte) {
	if cap(*buffer) <= keptBuffer {
		b.pool.Put(buffer)
	}
}

//nolint:gochecknoglobals // constants in all but name
var (
	contentJSON = []string{jsonType}
	varyAccept  = []string{"Accept"}
	privateNow  = []string{"private, max-age=0"}
)

// send answers with one JSON value.
func send(w http.ResponseWriter, text []byte) {
	w.Header()["Content-Type"] = contentJSON
	_, _ = w.Write(append(text, '\n')) // who has gone cannot be told
}

// appendIssued appends what encoding/json makes of an oauth.Response.
func appendIssued(dst []byte, r *oauth.Response) []byte {
	dst = appendText(append(dst, `{"access_token":`...), r.AccessToken)
	dst = appendText(append(dst, `,"token_type":`...), r.TokenType)
	dst = strconv.AppendInt(append(dst, `,"expires_in":`...), r.ExpiresIn, 10)
	dst = appendText(append(dst, `,"scope":`...), r.Scope)
	if r.IssuedTokenType != "" {
		dst = appendText(append(dst, `,"issued_token_type":`...), r.IssuedTokenType)
	}
	return append(dst, '}')
}

// appendActive appends the introspection answer for an active token, RFC 7662 §2.2, with members of ours: cs_sec is the credential with
// which the token was asked for, countersign_max_age_ms for how many milliseconds the answer holds, countersign_rev the sequence of the
// change log up to which it does.
func (s *Server) appendActive(dst []byte, found *auth.Introspection) ([]byte, error) {
	t := found.Token
	dst = appendText(append(dst, `{"active":true,"scope":`...), t.Scope)
	dst = appendID(append(dst, `,"client_id":"`...), t.Client.String())
	dst = appendText(append(dst, `,"token_type":`...), t.Confirmation.TokenType())
	dst = strconv.AppendInt(append(dst, `,"exp":`...), t.Expires.Unix(), 10)
	dst = strconv.AppendInt(append(dst, `,"iat":`...), t.Issued.Unix(), 10)
	dst = appendID(append(dst, `,"sub":"`...), t.Subject().String())
	dst = appendText(append(dst, `,"aud":`...), found.API.Identifier)
	dst = appendText(append(dst, `,"iss":`...), s.config.Issuer)
	dst = appendID(append(dst, `,"jti":"`...), t.ID.String())
	if t.Confirmation.Bound() || !t.Lineage.Empty() {
		more, err := json.Marshal(tiesOf(t))
		if err != nil {
			return nil, err
		}
		dst = append(append(dst, ','), more[1:len(more)-1]...)
	}
	if t.Credential != (auth.SecretID{}) {
		dst = appendID(append(dst, `,"cs_sec":"`...), t.Credential.String())
	}
	dst = strconv.AppendInt(append(dst, `,"countersign_max_age_ms":`...), found.Fresh.Milliseconds(), 10)
	dst = strconv.AppendUint(append(dst, `,"countersign_rev":`...), found.Revision, 10)
	return append(dst, '}'), nil
}

// appendID appends the text of an id and the quote that ends it.
func appendID(dst []byte, text string) []byte { return append(append(dst, text...), '"') }

// appendText appends a JSON string, as encoding/json writes it.
func appendText(dst []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			return appendEscaped(dst, text)
		}
	}
	return append(append(append(dst, '"'), text...), '"')
}

func appendEscaped(dst []byte, text string) []byte {
	escaped, _ := json.Marshal(text) // a string always can be
	return append(dst, escaped...)
}
