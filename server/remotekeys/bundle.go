package remotekeys

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/countersign/countersign/sdk/strictjson"
)

// jwtKeys makes a JWK set of a trust bundle: the keys for JWT-SVIDs, without the use that only SPIFFE knows. Keys for other uses, and
// those that name none, are passed over (SPIFFE Trust Domain and Bundle §4.2.2, JWT-SVID §6.2), and so are those without kid. hint is how
// often the bundle wants to be asked for (§4.1.2); 0: it does not say, or so that nobody can follow.
func jwtKeys(bundle []byte) (set []byte, hint time.Duration, err error) {
	var keys [][]byte
	found := false
	err = strictjson.Object(bundle, func(name string, value strictjson.Value) error {
		switch name {
		case "spiffe_refresh_hint":
			if seconds, err := value.Int(); err == nil && seconds > 0 && seconds < 1<<31 {
				hint = time.Duration(seconds) * time.Second
			}
		case "keys":
			found = true
			return value.Array(func(key strictjson.Value) error {
				members, use, err := split(key)
				if err == nil && use == "jwt-svid" {
					keys = append(keys, members)
				}
				return err
			})
		}
		return nil
	})
	if err == nil && !found {
		err = errors.New("no member keys")
	}
	if err != nil {
		return nil, 0, fmt.Errorf("trust bundle: %w", err)
	}
	return fmt.Appendf(nil, `{"keys":[%s]}`, bytes.Join(keys, []byte(","))), hint, nil
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
