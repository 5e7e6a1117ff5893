package remotekeys

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/countersign/countersign/sdk/strictjson"
)

// jwtKeys makes a JWK set of a trust bundle: the keys for JWT-SVIDs, without the use that only SPIFFE knows. Keys for other uses, and
// those that name none, are passed over (SPIFFE Trust Domain and Bundle §4.2.2, JWT-SVID §6.2), and so are those without kid.
func jwtKeys(bundle []byte) ([]byte, error) {
	var set bytes.Buffer
	found := false
	err := strictjson.Object(bundle, func(name string, value strictjson.Value) error {
		if name != "keys" {
			return nil
		}
		found = true
		return value.Array(func(key strictjson.Value) error {
			members, use, err := split(key)
			if err != nil || use != "jwt-svid" {
				return err
			}
			if set.Len() > 0 {
				set.WriteByte(',')
			}
			set.Write(members)
			return nil
		})
	})
	if err == nil && !found {
		err = errors.New("no member keys")
	}
	if err != nil {
		return nil, fmt.Errorf("trust bundle: %w", err)
	}
	return fmt.Appendf(nil, `{"keys":[%s]}`, set.Bytes()), nil
}

// split returns a key without its use, and the use. A key without kid has none: nothing can name it.
func split(key strictjson.Value) (members []byte, use string, err error) {
	members = append(members, '{')
	kid := ""
	err = key.Object(func(name string, value strictjson.Value) (err error) {
		switch name {
		case "use":
			use, err = value.String()
			return err
		case "kid":
			if kid, err = value.String(); err != nil {
				return err
			}
		}
		quoted, err := json.Marshal(name)
		if err != nil {
			return err
		}
		if len(members) > 1 {
			members = append(members, ',')
		}
		members = append(append(append(members, quoted...), ':'), value.Raw()...)
		return nil
	})
	if kid == "" {
		use = ""
	}
	return append(members, '}'), use, err
}
