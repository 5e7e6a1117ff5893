package trace

import (
	"errors"
	"fmt"

	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Encode returns spans as TracesData in protobuf.
func Encode(spans []*otlp.ResourceSpans) ([]byte, error) {
	text, err := proto.Marshal(&otlp.TracesData{ResourceSpans: spans})
	if err != nil {
		return nil, fmt.Errorf("encode spans: %w", err)
	}
	return text, nil
}

// Decode is the reverse of Encode.
func Decode(text []byte) ([]*otlp.ResourceSpans, error) {
	data := new(otlp.TracesData)
	if err := proto.Unmarshal(text, data); err != nil {
		return nil, errors.New("the spans cannot be decoded")
	}
	return data.GetResourceSpans(), nil
}
