package document_test

import (
	"fmt"
	"time"

	"github.com/countersign/countersign/internal/document"
)

func ExampleDecode() {
	type route struct {
		Pool    string        `yaml:"pool" required:"true" help:"The pool that requests go to."`
		Timeout time.Duration `yaml:"timeout" default:"30s" min:"1ms"`
	}
	type config struct {
		Routes []route `yaml:"routes" required:"true"`
	}
	var got config
	_, err := document.Decode("gateway.yaml", []byte("routes:\n- pool: orders\n  timeout: soon\n- timeout: 1s\n  pol: orders\n"), &got)
	fmt.Println(err)

	source, err := document.Decode("gateway.yaml", []byte("routes:\n- pool: orders\n"), &got)
	fmt.Println(got, err)
	fmt.Println(source.Errorf("routes[0].pool", "no pool is named %q", got.Routes[0].Pool))
	// Output:
	// gateway.yaml:3: routes[0].timeout: "soon" is no duration: want one such as 1s or 500ms
	// gateway.yaml:4: routes[1]: "pool" is missing
	// gateway.yaml:5: routes[1]: unknown member "pol" (did you mean "pool"?): allowed are pool, timeout
	// {[{orders 30s}]} <nil>
	// gateway.yaml:2: routes[0].pool: no pool is named "orders"
}
