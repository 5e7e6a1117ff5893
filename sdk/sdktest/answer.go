package sdktest

import (
	"bytes"
	"encoding/json"
	"net/http"
)

// answer writes a good answer.
func (i *Issuer) answer(w http.ResponseWriter, e Endpoint, value any) {
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json")
	}
	_, _ = w.Write(i.encode(e, value)) // who has gone cannot be told
}

// encode returns the answer as JSON, changed as [Issuer.Alter] says.
func (i *Issuer) encode(e Endpoint, value any) []byte {
	body := encodeJSON(value)
	alter := i.fault(e).alter
	if alter == nil {
		return body
	}
	var members map[string]any
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	if err := decoder.Decode(&members); err != nil {
		panic("sdktest: " + err.Error())
	}
	alter(members)
	return encodeJSON(members)
}

// refuse writes an error as RFC 6749 §5.2 has it. Code "" is the one that goes with the status.
func refuse(w http.ResponseWriter, status int, code, description string) {
	if code == "" {
		code = codeFor(status)
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/json")
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="sdktest"`)
	}
	members := map[string]any{"error": code}
	if description != "" {
		members["error_description"] = description
	}
	w.WriteHeader(status)
	_, _ = w.Write(encodeJSON(members)) // who has gone cannot be told
}

func codeFor(status int) string {
	switch {
	case status == http.StatusUnauthorized:
		return "invalid_client"
	case status == http.StatusForbidden:
		return "access_denied"
	case status == http.StatusTooManyRequests, status == http.StatusBadGateway, status == http.StatusServiceUnavailable,
		status == http.StatusGatewayTimeout:
		return "temporarily_unavailable"
	case status >= http.StatusInternalServerError:
		return "server_error"
	}
	return "invalid_request"
}

func encodeJSON(value any) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		panic("sdktest: " + err.Error())
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
