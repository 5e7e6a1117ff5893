package jwks_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/sdk/jwks"
)

func ExampleCache() {
	cache := jwks.New(jwks.Config{
		Fetch: func(context.Context) (jwks.Answer, error) {
			return jwks.Answer{Body: []byte(keySet("2026-11")), MaxAge: time.Hour}, nil
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { cache.Run(ctx) })

	held, err := cache.Key(ctx, "2026-11", jose.EdDSA)
	fmt.Println(held.ID(), held.Withdrawn(), err)
	_, err = cache.Key(ctx, "2026-12", jose.EdDSA)
	fmt.Println(err)

	cancel()
	running.Wait()
	// Output:
	// 2026-11 false <nil>
	// unknown key
}
