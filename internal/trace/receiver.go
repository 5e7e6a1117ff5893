package trace

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	service "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Path is where spans are received (OTLP/HTTP).
const Path = "/v1/traces"

const (
	maxBody  = 4 << 20
	protobuf = "application/x-protobuf"
)

// Receiver takes spans by OTLP over HTTP, in protobuf without compression, from whoever knows the bearer.
func Receiver(to *Collector, bearer string) http.Handler {
	want := sha256.Sum256([]byte("Bearer " + bearer))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got := sha256.Sum256([]byte(strings.Join(r.Header["Authorization"], "\n")))
		if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "the bearer is wrong", http.StatusUnauthorized)
			return
		}
		received, status, err := receive(w, r)
		if err != nil {
			http.Error(w, err.Error(), status)
			return
		}
		answer := new(service.ExportTraceServiceResponse)
		if rejected := to.add(received.GetResourceSpans()); rejected > 0 {
			answer.PartialSuccess = &service.ExportTracePartialSuccess{
				RejectedSpans: int64(rejected), ErrorMessage: "there is no room for more spans of a trace",
			}
		}
		text, err := proto.Marshal(answer)
		if err != nil {
			http.Error(w, "the answer cannot be encoded", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", protobuf)
		_, _ = w.Write(text) // who has gone cannot be told
	})
}

// receive reads and checks what was sent. The status is for the error.
func receive(w http.ResponseWriter, r *http.Request) (*service.ExportTraceServiceRequest, int, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case r.URL.Path != Path:
		return nil, http.StatusNotFound, errors.New("spans are received at " + Path)
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		return nil, http.StatusMethodNotAllowed, errors.New("allowed is POST")
	case err != nil || kind != protobuf:
		return nil, http.StatusUnsupportedMediaType, errors.New("Content-Type: allowed is " + protobuf)
	case r.Header.Get("Content-Encoding") != "":
		return nil, http.StatusUnsupportedMediaType, errors.New("Content-Encoding: none is allowed")
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, http.StatusRequestEntityTooLarge, tooLarge
	}
	if err != nil {
		return nil, http.StatusBadRequest, errors.New("the body cannot be read")
	}
	received := new(service.ExportTraceServiceRequest)
	if err := proto.Unmarshal(text, received); err != nil {
		return nil, http.StatusBadRequest, errors.New("the body is no ExportTraceServiceRequest")
	}
	if err := check(received.GetResourceSpans()); err != nil {
		return nil, http.StatusBadRequest, err
	}
	return received, 0, nil
}
