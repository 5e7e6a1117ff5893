package jose_test

import (
	"fmt"

	"github.com/countersign/countersign/sdk/jose"
)

// A token of RFC 7515 A.3 is checked by the key that belongs to it.
func Example() {
	key, err := jose.ParseKey([]byte(keyA3))
	if err != nil {
		fmt.Println(err)
		return
	}
	signed, err := jose.Parse(tokenA3)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(signed.Header.Algorithm, key.Algorithms(), signed.Verify(key))
	// Output: ES256 [ES256] <nil>
}

func ExampleParseKeySet() {
	keys, skipped, err := jose.ParseKeySet([]byte(`{"keys":[` + key8037 + `,{"kty":"oct","kid":"shared","k":"c2VjcmV0"}]}`))
	fmt.Println(len(keys), skipped, err)
	// Output: 1 [key 2 (kid "shared"): unusable key: private key where a public one is due] <nil>
}
