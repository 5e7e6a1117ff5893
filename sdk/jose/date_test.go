package jose_test

import (
	"testing"
	"time"

	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/sdk/strictjson"
)

func TestNumericDate(t *testing.T) {
	for text, want := range map[string]time.Time{
		"0": time.Unix(0, 0), "946688400": time.Unix(946688400, 0), "1.5": time.Unix(1, 5e8), "1e3": time.Unix(1000, 0),
		"253402300799": time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		"253402300800": {}, "-1": {}, "1e300": {}, `"1"`: {}, "null": {}, "true": {}, "[1]": {},
	} {
		var got time.Time
		err := strictjson.Object([]byte(`{"exp":`+text+`}`), func(_ string, value strictjson.Value) (err error) {
			got, err = jose.NumericDate(value)
			return err
		})
		if !got.Equal(want) || (err == nil) == want.IsZero() {
			t.Errorf("%s: got %v, %v; want %v", text, got, err, want)
		}
	}
}
