package keys

import (
	"strconv"
	"strings"
	"time"

	"github.com/countersign/countersign/server/auth"
)

// Claims are the claims of an access token, RFC 9068 §2.2. `iss` is the ring's; `sub` and `client_id` are both the client
// unless the token was made by exchange.
type Claims struct {
	ID         auth.TokenID  // jti
	Client     auth.ClientID // client_id
	Audience   string        // aud: the identifier of one API
	Scope      string        // scope; left out if empty
	Issued     time.Time     // iat, whole seconds
	Expires    time.Time     // exp, whole seconds
	Revision   uint64        // cs_rev
	Credential auth.SecretID // cs_sec; left out if zero
	// Confirmation is cnf (RFC 7800), Lineage is sub if it is another than the client, act and may_act (RFC 8693 §4), and cs_anc.
	Confirmation auth.Confirmation
	Lineage      auth.Lineage
	// Key is the key that signed. Verify sets it, Sign does not look at it.
	Key auth.KeyID
}

// The members between the values, in the one order in which they are written. What does not read exactly so was not
// signed by this server: no member can be doubled, unknown, or of another type.
const (
	claimIssuer     = `{"iss":"`
	claimSubject    = `","sub":"`
	claimClient     = `","client_id":"`
	claimAudience   = `","aud":"`
	claimExpires    = `","exp":`
	claimIssued     = `,"iat":`
	claimID         = `,"jti":"`
	claimScope      = `,"scope":"`
	claimRevision   = `,"cs_rev":`
	claimCredential = `,"cs_sec":"` //nolint:gosec // the name of a claim that holds an id
)

// appendClaims writes the claim set. Audience and scope must be plain.
func (r *Ring) appendClaims(dst []byte, c Claims) []byte {
	client := c.Client.String()
	subject := client
	if c.Lineage.Subject != (auth.ClientID{}) {
		subject = c.Lineage.Subject.String()
	}
	dst = append(dst, r.opening...)
	dst = append(dst, subject...)
	dst = append(dst, claimClient...)
	dst = append(dst, client...)
	dst = append(dst, claimAudience...)
	dst = append(dst, c.Audience...)
	dst = append(dst, claimExpires...)
	dst = strconv.AppendInt(dst, c.Expires.Unix(), 10)
	dst = append(dst, claimIssued...)
	dst = strconv.AppendInt(dst, c.Issued.Unix(), 10)
	dst = append(dst, claimID...)
	dst = append(dst, c.ID.String()...)
	dst = append(dst, '"')
	if c.Scope != "" {
		dst = append(dst, claimScope...)
		dst = append(dst, c.Scope...)
		dst = append(dst, '"')
	}
	dst = append(dst, claimRevision...)
	dst = strconv.AppendUint(dst, c.Revision, 10)
	if c.Credential != (auth.SecretID{}) {
		dst = append(dst, claimCredential...)
		dst = append(dst, c.Credential.String()...)
		dst = append(dst, '"')
	}
	if c.Confirmation.Bound() {
		dst = appendConfirmation(dst, c.Confirmation)
	}
	if !c.Lineage.Empty() {
		dst = appendLineage(dst, &c)
	}
	return append(dst, '}')
}

// parseClaims reads what appendClaims wrote, and nothing else.
func (r *Ring) parseClaims(text string) (c Claims, ok bool) {
	s := scanner{rest: text}
	s.literal(r.opening)
	subject := s.text()
	s.literal(claimClient)
	client := s.text()
	s.literal(claimAudience)
	c.Audience = s.text()
	s.literal(claimExpires)
	c.Expires = s.seconds()
	s.literal(claimIssued)
	c.Issued = s.seconds()
	s.literal(claimID)
	id := s.text()
	s.literal(`"`)
	if s.next(claimScope) {
		c.Scope = s.text()
		s.literal(`"`)
	}
	s.literal(claimRevision)
	c.Revision = s.number()
	credential := ""
	if s.next(claimCredential) {
		credential = s.text()
		s.literal(`"`)
	}
	c.Confirmation = s.confirmation()
	if subject != client && !c.parseSubject(subject) {
		return Claims{}, false
	}
	if c.Client = s.client(client); !s.failed && s.rest != "}" {
		s.lineage(&c)
	}
	s.literal("}")
	if s.failed || s.rest != "" || !c.consistent() {
		return Claims{}, false
	}
	return c, c.parseIDs(id, credential)
}

func (c *Claims) parseSubject(subject string) bool {
	id, err := auth.ParseClientID(subject)
	c.Lineage.Subject = id
	return err == nil
}

func (c *Claims) parseIDs(id, credential string) bool {
	var err error
	if c.ID, err = auth.ParseTokenID(id); err != nil {
		return false
	}
	if credential != "" {
		c.Credential, err = auth.ParseSecretID(credential)
	}
	return err == nil
}

// scanner reads a claim set from its start. After the first mismatch it has failed for good.
type scanner struct {
	rest   string
	failed bool
}

// next takes want if it comes next.
func (s *scanner) next(want string) bool {
	rest, found := strings.CutPrefix(s.rest, want)
	s.rest = rest
	return found
}

func (s *scanner) literal(want string) { s.failed = !s.next(want) || s.failed }

// text takes what comes before the next quote: one character at least, none of them escaped.
func (s *scanner) text() string {
	end := strings.IndexByte(s.rest, '"')
	if end <= 0 || !plain(s.rest[:end]) {
		s.failed = true
		return ""
	}
	text := s.rest[:end]
	s.rest = s.rest[end:]
	return text
}

// number takes an integer in its one form: digits, no leading zero.
func (s *scanner) number() uint64 {
	end := 0
	for end < len(s.rest) && '0' <= s.rest[end] && s.rest[end] <= '9' {
		end++
	}
	digits := s.rest[:end]
	s.rest = s.rest[end:]
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || len(digits) > 1 && digits[0] == '0' {
		s.failed = true
	}
	return n
}

const maxSeconds = 1 << 40 // far beyond any date, far below what time.Time cannot hold

func (s *scanner) seconds() time.Time {
	n := s.number()
	if n > maxSeconds {
		s.failed = true
		return time.Time{}
	}
	return time.Unix(int64(n), 0).UTC()
}

// plain reports whether text is printable ASCII that needs no escaping in JSON.
func plain(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c == '"' || c == '\\' || c > '~' {
			return false
		}
	}
	return true
}
