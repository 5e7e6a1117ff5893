package strictjson_test

import (
	"fmt"

	"github.com/countersign/countersign/sdk/strictjson"
)

func ExampleObject() {
	var issuer string
	var audience []string
	err := strictjson.Object([]byte(`{"iss":"https://auth.example.com","aud":["orders","invoices"]}`),
		func(name string, value strictjson.Value) (err error) {
			switch name {
			case "iss":
				issuer, err = value.String()
			case "aud":
				audience, err = value.Strings()
			}
			return err
		})
	fmt.Println(issuer, audience, err)
	// Output: https://auth.example.com [orders invoices] <nil>
}

func ExampleObject_duplicate() {
	err := strictjson.Object([]byte(`{"scope":"read","\u0073cope":"write"}`), nil)
	fmt.Println(err)
	// Output: not strict JSON: second member of the same name at byte 28
}
