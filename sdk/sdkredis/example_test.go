package sdkredis_test

import (
	"fmt"

	"github.com/countersign/countersign/sdk/sdkredis"
)

// A service opens its Redis once. Nothing is connected yet, and the password is not shown.
func ExampleOpen() {
	store, err := sdkredis.Open("rediss://inventory:p%40ssword@redis.internal:6380/0")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	fmt.Println(store)
	// Output: rediss://redis.internal:6380/0
}
