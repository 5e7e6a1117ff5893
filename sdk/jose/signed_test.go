package jose_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/countersign/countersign/sdk/jose"
)

func TestParseForm(t *testing.T) {
	v := newVictim(t)
	// Parts of 2 and 3 more than a multiple of 4 characters, so that all have spare bits.
	token := compact(`{"alg":"ES256"}  `, `{"a":1}`, v.sign)
	header, rest, _ := strings.Cut(token, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	for _, part := range []string{header, payload, signature} {
		if len(part)%4 == 0 {
			t.Fatalf("%s has no spare bits", part)
		}
	}
	for _, tt := range []struct {
		name, token string
		err         error
	}{
		{"unchanged", token, nil},
		{"nothing", "", jose.ErrMalformed},
		{"dots", "..", jose.ErrMalformed},
		{"one part", header, jose.ErrMalformed},
		{"two parts", header + "." + payload, jose.ErrMalformed},
		{"four parts", token + "." + signature, jose.ErrMalformed},
		{"dot after", token + ".", jose.ErrMalformed},
		{"dot before", "." + token, jose.ErrMalformed},
		{"no header", "." + payload + "." + signature, jose.ErrMalformed},
		{"no signature", header + "." + payload + ".", jose.ErrMalformed},
		{"another payload", header + ".." + signature, jose.ErrSignature},
		{"space before", " " + token, jose.ErrMalformed},
		{"space after", token + " ", jose.ErrMalformed},
		{"JSON serialization", `{"protected":"` + header + `","payload":"` + payload + `","signature":"` + signature + `"}`, jose.ErrMalformed},
		{"attack 13: spare bits of the header", next(header) + "." + payload + "." + signature, jose.ErrMalformed},
		{"attack 13: spare bits of the payload", header + "." + next(payload) + "." + signature, jose.ErrMalformed},
		{"attack 13: spare bits of the signature", header + "." + payload + "." + next(signature), jose.ErrMalformed},
		{"attack 13: padding of the header", padded(header) + "." + payload + "." + signature, jose.ErrMalformed},
		{"attack 13: padding of the payload", header + "." + padded(payload) + "." + signature, jose.ErrMalformed},
		{"attack 13: padding of the signature", header + "." + payload + "." + padded(signature), jose.ErrMalformed},
		{"attack 13: line end after", token + "\n", jose.ErrMalformed},
		{"attack 13: line end within", header + "." + payload[:2] + "\r\n" + payload[2:] + "." + signature, jose.ErrMalformed},
		{"attack 13: line ends that fill a group", header + "." + payload + "\n\n." + signature, jose.ErrMalformed},
		{"one character more", token + "A", jose.ErrSignature},
		{"attack 13: the other alphabet", header + "." + payload + ".+/" + signature[2:], jose.ErrMalformed},
		{"attack 13: not ASCII", header + "." + payload + ".é" + signature[2:], jose.ErrMalformed},
		{"NUL", token + "\x00", jose.ErrMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := verify(tt.token, v.key); !errors.Is(err, tt.err) {
				t.Errorf("got %v, want %v", err, tt.err)
			}
		})
	}
}

// next changes bits of the last character that stand for nothing.
func next(part string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := len(part) - 1
	return part[:last] + string(alphabet[strings.IndexByte(alphabet, part[last])+1])
}

func padded(part string) string { return part + strings.Repeat("=", 4-len(part)%4) }

// Every character of a token counts: there is none that can be changed without the token being refused.
func TestEveryCharacterCounts(t *testing.T) {
	v := newVictim(t)
	token := compact(es256, `{"sub":"x","exp":1795434000}`, v.sign)
	for i := range token {
		for _, c := range []string{"A", "B", "_", "=", ".", ""} {
			other := token[:i] + c + token[i+1:]
			if other == token {
				continue
			}
			if _, err := verify(other, v.key); err == nil {
				t.Errorf("accepted with %q at %d instead of %q", c, i, token[i])
			}
		}
	}
}

func TestSignedDoesNotPrint(t *testing.T) {
	signed, err := jose.Parse(tokenA3)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).InfoContext(t.Context(), "x", slog.Any("pointer", signed), slog.Any("value", *signed))
	slog.New(slog.NewJSONHandler(&log, nil)).InfoContext(t.Context(), "x", slog.Any("pointer", signed), slog.Any("value", *signed))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&log, verb+verb, signed, *signed)
	}
	if got := strings.Count(log.String(), "[redacted]"); got != 4+2*7 {
		t.Errorf("%d times redacted: %s", got, &log)
	}
	if strings.Contains(log.String(), "joe") || strings.Contains(log.String(), "eyJ") {
		t.Errorf("a token is printed: %s", &log)
	}
}

func TestErrorsDoNotTell(t *testing.T) {
	secret := compact(`{"alg":"secret-algorithm","kid":"secret"}`, "secret", fixed("secret"))
	for _, token := range []string{secret, "secret", "secret.secret.secret!", compact(`{"alg":secret}`, "", fixed("x"))} {
		if _, err := jose.Parse(token); err == nil || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "c2Vj") {
			t.Errorf("%s: %v", token, err)
		}
	}
}
