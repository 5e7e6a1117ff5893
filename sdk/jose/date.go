package jose

import (
	"errors"
	"math"
	"time"

	"github.com/countersign/countersign/sdk/strictjson"
)

var errDate = errors.New("not between the years 1970 and 9999")

// NumericDate reads a NumericDate of RFC 7519 §2: seconds since 1970, which may have a fraction, up to the year 9999. It is never the zero time.
// Its error tells what else the value is.
func NumericDate(value strictjson.Value) (time.Time, error) {
	const last = 253402300799
	seconds, err := value.Number()
	if err != nil {
		return time.Time{}, err
	}
	if !(0 <= seconds && seconds <= last) {
		return time.Time{}, errDate
	}
	whole, fraction := math.Modf(seconds)
	return time.Unix(int64(whole), int64(fraction*float64(time.Second))), nil
}
