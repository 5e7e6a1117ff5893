package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// yamlOf writes JSON as YAML, members in the same order.
func yamlOf(body json.RawMessage) ([]byte, error) {
	tokens := json.NewDecoder(bytes.NewReader(body))
	tokens.UseNumber()
	node, err := yamlNode(tokens)
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	return encodeYAML(node)
}

func encodeYAML(v any) ([]byte, error) {
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := errors.Join(encoder.Encode(v), encoder.Close()); err != nil {
		return nil, fmt.Errorf("write YAML: %w", err)
	}
	return out.Bytes(), nil
}

// yamlNode reads the next JSON value. At the end of an object or array it returns io.EOF.
func yamlNode(tokens *json.Decoder) (*yaml.Node, error) {
	token, err := tokens.Token()
	if err != nil {
		return nil, err //nolint:wrapcheck // yamlOf wraps it
	}
	switch value := token.(type) {
	case json.Delim:
		switch value {
		case '{':
			return yamlCollection(tokens, yaml.MappingNode)
		case '[':
			return yamlCollection(tokens, yaml.SequenceNode)
		}
		return nil, io.EOF
	case string:
		node := &yaml.Node{}
		return node, node.Encode(value) // quotes what older parsers take for something else, such as "no"
	case json.Number:
		tag := "!!int"
		if strings.ContainsAny(value.String(), ".eE") {
			tag = "!!float"
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: value.String()}, nil
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: fmt.Sprint(value)}, nil
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}, nil
}

func yamlCollection(tokens *json.Decoder, kind yaml.Kind) (*yaml.Node, error) {
	node := &yaml.Node{Kind: kind}
	for {
		child, err := yamlNode(tokens)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		node.Content = append(node.Content, child)
	}
	if len(node.Content) == 0 {
		node.Style = yaml.FlowStyle
	}
	return node, nil
}
