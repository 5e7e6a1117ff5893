// Package strictjson reads JSON objects (RFC 8259) that decide about trust: tokens, keys, metadata.
//
// It refuses what encoding/json lets pass, since two readers that differ in it can be played off against each other: two members of
// the same name in one object, at any depth and however they are escaped; names that differ in case only from the one meant, which
// are other names here; text that is not UTF-8; escaped halves of surrogate pairs; text after the object; nesting beyond [MaxDepth].
package strictjson

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// MaxDepth is how deep objects and arrays may be nested, the outermost object included.
const MaxDepth = 16

var (
	// ErrSyntax means that a text is not one strict JSON object. The error tells the place, never the text.
	ErrSyntax = errors.New("not strict JSON")
	// ErrKind means that a value is of another kind than the one asked for.
	ErrKind = errors.New("value of another kind")
	// ErrRange means that a number does not fit what it is asked for as.
	ErrRange = errors.New("number out of range")
)

// Object calls each for every member of the JSON object text, in their order and with escapes in the name resolved. An error of each
// ends it and is returned as it is. A mistake in text is only seen when it is reached: what each was told does not count until Object
// has returned nil. Names share the memory of one copy of text: clone a name that is kept for long.
func Object(text []byte, each func(name string, value Value) error) error {
	if !utf8.Valid(text) {
		return fmt.Errorf("%w: not UTF-8", ErrSyntax)
	}
	r := reader{text: string(text)}
	r.space()
	if r.peek() != '{' {
		return r.fail("no object")
	}
	if err := r.object(1, each); err != nil {
		return err
	}
	r.space()
	if r.at != len(r.text) {
		return r.fail("text after the object")
	}
	return nil
}
