package issuer

import "github.com/countersign/countersign/sdk/strictjson"

// Refusal returns error and error_description of an OAuth error answer (RFC 6749 §5.2) in printable ASCII, at most 300 characters and
// without what was sent in confidence. Both are empty if the answer is none.
func (a *Answer) Refusal() (code, description string) {
	err := strictjson.Object(a.Body, func(name string, value strictjson.Value) (err error) {
		switch name {
		case "error":
			code, err = value.String()
		case "error_description":
			description, _ = value.String()
		}
		return err
	})
	if err != nil || code == "" {
		return "", ""
	}
	return tell(code, 64, a.hide), tell(description, 300, a.hide)
}
