package document

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

const (
	maxText     = 1 << 20 // bytes of a document
	maxExpanded = 4 << 20 // bytes of its names and values once anchors are followed
)

var syntaxLine = regexp.MustCompile(`(?s)^yaml: line (\d+): (.*)$`)

// Read returns the content of a document's file. It reads no more than a document may have and one byte, which Decode refuses.
func Read(path string) ([]byte, error) {
	file, err := os.Open(path) //nolint:gosec // the operator names it
	if err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, maxText+1))
	if err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	return text, nil
}

// parse returns the top node of the one document that text holds.
func parse(name string, text []byte) (*yaml.Node, error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("%s: a document has at most %d bytes", name, maxText)
	}
	if at := notUTF8(text); at >= 0 {
		return nil, located(name, 1+bytes.Count(text[:at], []byte("\n")), "the text is not UTF-8")
	}
	var document, second yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	err := decoder.Decode(&document)
	if errors.Is(err, io.EOF) || err == nil && document.Content[0].Tag == "!!null" && document.Content[0].Value == "" {
		return nil, fmt.Errorf("%s: the document is empty", name)
	}
	if err != nil {
		return nil, syntax(name, text, err)
	}
	if err := decoder.Decode(&second); err == nil {
		return nil, located(name, second.Line, "a second document begins: want one only")
	} else if !errors.Is(err, io.EOF) {
		return nil, syntax(name, text, err)
	}
	return document.Content[0], nil
}

func notUTF8(text []byte) int {
	for at := 0; at < len(text); {
		r, size := utf8.DecodeRune(text[at:])
		if r == utf8.RuneError && size == 1 {
			return at
		}
		at += size
	}
	return -1
}

// syntax tells what the parser complains of, which quotes nothing of the document but names of anchors and tags.
func syntax(name string, text []byte, err error) error {
	if found := syntaxLine.FindStringSubmatch(err.Error()); found != nil {
		line, _ := strconv.Atoi(found[1])
		for _, at := range []int{line, line + 1} { // the parser counts some from 0
			if indentedByTab(text, at) {
				return located(name, at, "a tab indents this line: YAML wants blanks")
			}
		}
		return located(name, line, found[2])
	}
	return fmt.Errorf("%s: %s", name, strings.TrimPrefix(err.Error(), "yaml: "))
}

// indentedByTab reports whether there is a tab before all else in a line, counted from 1.
func indentedByTab(text []byte, line int) bool {
	for range line - 1 {
		_, text, _ = bytes.Cut(text, []byte("\n"))
	}
	for _, b := range text {
		if b != ' ' {
			return b == '\t'
		}
	}
	return false
}
