package sqlstore

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"time"
)

// fixed scans a BINARY column into an array of its length. NULL is all zeros.
type fixed []byte

// Scan implements sql.Scanner.
func (f fixed) Scan(value any) error {
	switch v := value.(type) {
	case nil:
		clear(f)
	case []byte:
		if len(v) != len(f) {
			return fmt.Errorf("%d bytes where %d belong", len(v), len(f))
		}
		copy(f, v)
	default:
		return fmt.Errorf("a %T where bytes belong", value)
	}
	return nil
}

// orNull is nil for an array of zeros.
func orNull(bytes []byte) any {
	for _, b := range bytes {
		if b != 0 {
			return bytes
		}
	}
	return nil
}

// micros scans a time column. NULL is the zero time.
type micros struct{ *time.Time }

// Scan implements sql.Scanner.
func (m micros) Scan(value any) error {
	var n sql.NullInt64
	if err := n.Scan(value); err != nil {
		return err
	}
	*m.Time = time.Time{}
	if n.Valid {
		*m.Time = time.UnixMicro(n.Int64).UTC()
	}
	return nil
}

// micro is the column of a time, nil for the zero time.
func micro(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}

// jsonOrNull is the JSON of a struct, nil if nothing is set in it.
func jsonOrNull(value any) (any, error) {
	text, err := json.Marshal(value)
	if err != nil || string(text) == "{}" {
		return nil, err
	}
	return string(text), nil
}

// asJSON scans a JSON column. NULL leaves what it is scanned into as it is.
type asJSON struct{ into any }

// Scan implements sql.Scanner.
func (j asJSON) Scan(value any) error {
	var text []byte
	switch v := value.(type) {
	case []byte:
		text = v
	case string:
		text = []byte(v)
	case nil:
		return nil
	default:
		return fmt.Errorf("a %T where JSON belongs", value)
	}
	return json.Unmarshal(text, j.into)
}
