package strictjson_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/countersign/countersign/sdk/strictjson"
)

const claims = `{"iss":"https://auth.example.com","sub":"cl_01jd2v8q4m6x0r9s3t5w7y1z2a","client_id":"cl_01jd2v8q4m6x0r9s3t5w7y1z2a",` +
	`"aud":"https://inventory.example.com","exp":1795434000,"iat":1795430400,"jti":"AbCdEfGhIjKlMnOpQrStUv",` +
	`"scope":"inventory:read inventory:write","cs_rev":123456,"cs_sec":"sec_01jd2v8q4m6x0r9s3t5w7y1z2a"}`

// BenchmarkObject reads the claims of a token, beside what is needed at least: to see that it is JSON.
func BenchmarkObject(b *testing.B) {
	text := []byte(claims)
	b.Run("bare", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if !json.Valid(text) {
				b.Fatal("not valid")
			}
		}
	})
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			length := 0
			err := strictjson.Object(text, func(name string, value strictjson.Value) error {
				length += len(name)
				if value.Kind() == strictjson.String {
					text, err := value.String()
					length += len(text)
					return err
				}
				number, err := value.Number()
				length += int(number)
				return err
			})
			if err != nil || length == 0 {
				b.Fatal(length, err)
			}
		}
	})
}

// BenchmarkObjectOfManyMembers must grow with the text, not with its square.
func BenchmarkObjectOfManyMembers(b *testing.B) {
	text := []byte(many(50_000) + `"last":"` + strings.Repeat("x", 100) + `"}`)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if err := strictjson.Object(text, nil); err != nil {
			b.Fatal(err)
		}
	}
}
