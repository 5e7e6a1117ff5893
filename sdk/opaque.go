package sdk

import (
	"context"
	"hash/crc32"
	"strings"
)

// The form of Countersign's opaque tokens, docs/secrets.md.
const (
	opaquePrefix   = "cs_at_"
	opaqueDigits   = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	opaqueID22     = 22
	opaqueSecret   = 43
	opaqueChecksum = 6
)

// opaqueID returns the jti that an opaque token of Countersign bears, and false if the token is not of their form.
func opaqueID(token string) (id string, ok bool) {
	text, ok := strings.CutPrefix(token, opaquePrefix)
	if !ok || len(text) != opaqueID22+opaqueSecret+opaqueChecksum {
		return "", false
	}
	text, check := text[:opaqueID22+opaqueSecret], text[opaqueID22+opaqueSecret:]
	var sum uint64
	for i := range len(check) {
		digit := strings.IndexByte(opaqueDigits, check[i])
		if digit < 0 {
			return "", false
		}
		sum = sum*uint64(len(opaqueDigits)) + uint64(digit)
	}
	if sum != uint64(crc32.ChecksumIEEE([]byte(text))) || strings.Trim(text, opaqueDigits) != "" {
		return "", false
	}
	return text[:opaqueID22], true
}

// plausible tells whether the server may be asked about a token that is no JWT. Where the issuer is Countersign its own form tells what
// is mistyped, cut or made up, without a look-up.
func (e *engine) plausible(ctx context.Context, token string) error {
	if token == "" || strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return invalidToken("the token is malformed")
	}
	known := e.config.auth != nil || len(e.records) > 0 // whom to ask
	if e.awaitStart(ctx); known && e.feedState.Load() == feedUnknown {
		return unavailable(e.ignorance()) // whatever the server said, nothing could be made of it
	}
	if _, ok := opaqueID(token); !ok && e.countersign(ctx) {
		return invalidToken("the token is malformed")
	}
	if !known {
		e.warnOpaque.Do(func() {
			e.config.log.WarnContext(ctx, "opaque tokens are refused: without WithCredentials they cannot be introspected")
		})
		return invalidToken("opaque tokens are not accepted here")
	}
	return nil
}

// countersign tells whether the issuer is known to be a Countersign server: it has a revocation feed.
func (e *engine) countersign(ctx context.Context) bool {
	switch {
	case e.feedState.Load() == feedFollowed:
		return true
	case e.feedState.Load() == feedNone && !e.config.noRevocation:
		return false
	}
	ctx, cancel := context.WithTimeoutCause(ctx, e.config.introspectionLimit(), errPatience)
	defer cancel()
	m, err := e.authority.metadata(ctx)
	return err == nil && m.RevocationFeed != ""
}
