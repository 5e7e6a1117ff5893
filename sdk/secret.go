package sdk

import (
	"context"
	"encoding/base64"
	"errors"
	"hash/crc32"
	"log/slog"
	"net/url"
	"slices"
	"strings"
)

const (
	secretBasic = "client_secret_basic"
	secretPost  = "client_secret_post"
	redacted    = "[redacted]"
	// secretLimit is how many bytes a secret may have.
	secretLimit = 64 << 10
)

// Secret authenticates by a client secret, in the Authorization header (client_secret_basic, RFC 6749 §2.3.1), or in the body if the
// server names client_secret_post and not client_secret_basic.
func Secret(value string) ClientAuth { return newSecret(value, false) }

// SecretPost is as [Secret], always in the body: for clients that the server knows by client_secret_post.
func SecretPost(value string) ClientAuth { return newSecret(value, true) }

// SecretFile is as [Secret], of the secret in a file: its text without a line end behind it, at most 64 KiB. The file is read again when it
// has changed, so that a secret is replaced without a restart. While it cannot be read, is empty, or holds what cannot be a
// secret, the last good one is used.
func SecretFile(path string) ClientAuth { return newSecretFile(path, false) }

// SecretFilePost is as [SecretFile], always in the body as [SecretPost].
func SecretFilePost(path string) ClientAuth { return newSecretFile(path, true) }

// secret keeps its value inside a function, where nothing that prints the fields of a struct finds it.
type secret struct {
	hidden

	post  bool
	check func() error // what can be told without I/O
	value func(context.Context, *slog.Logger) (string, error)
}

func newSecret(value string, post bool) *secret {
	return &secret{
		post:  post,
		check: func() error { return checkSecret(value) },
		value: func(context.Context, *slog.Logger) (string, error) { return value, checkSecret(value) },
	}
}

func (s *secret) validate() error { return s.check() }

// needsBody tells whether the secret goes into a body, where these methods are supported.
func (s *secret) needsBody(methods []string) bool {
	return s.post || len(methods) > 0 && !slices.Contains(methods, secretBasic) && slices.Contains(methods, secretPost)
}

// Authenticate implements ClientAuth.
func (s *secret) Authenticate(ctx context.Context, r *AuthRequest) error {
	value, err := s.value(ctx, r.logger())
	if err != nil {
		return local(err)
	}
	if s.needsBody(r.Methods) {
		if r.Form == nil {
			return local(errNoForm)
		}
		r.Form.Set("client_id", r.ClientID)
		r.Form.Set("client_secret", value)
		return nil
	}
	pair := url.QueryEscape(r.ClientID) + ":" + url.QueryEscape(value)
	r.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(pair)))
	return nil
}

// checkSecret tells whether a text can be a secret. Countersign's own have a checksum, by which one that was cut or mistyped is known.
func checkSecret(value string) error {
	const prefix, digits, checksum = "cs_secret_", 43, 6
	switch {
	case value == "":
		return errors.New("the client secret is empty")
	case len(value) > secretLimit:
		return errors.New("the client secret is longer than 64 KiB")
	case strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c == 0x7f }):
		return errors.New("the client secret holds a control character or a second line")
	}
	body, ours := strings.CutPrefix(value, prefix)
	if ours && (len(body) != digits+checksum || body[digits:] != base62(crc32.ChecksumIEEE([]byte(body[:digits])), checksum)) {
		return errors.New("the client secret was cut or mistyped: its checksum is wrong")
	}
	return nil
}

// base62 writes a number in so many digits.
func base62(number uint32, width int) string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	text := make([]byte, width)
	for i := range text {
		text[width-1-i] = digits[number%62]
		number /= 62
	}
	return string(text)
}
