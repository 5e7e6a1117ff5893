package strictjson

import (
	"fmt"
	"strconv"
	"strings"
)

// Kind is what a value is.
type Kind uint8

// The kinds of values. The zero Kind is that of no value.
const (
	Null Kind = iota + 1
	Bool
	Number
	String
	Array
	Map // a JSON object
)

// String returns the kind's name in RFC 8259.
func (k Kind) String() string {
	switch k {
	case Null:
		return "null"
	case Bool:
		return "boolean"
	case Number:
		return "number"
	case String:
		return "string"
	case Array:
		return "array"
	case Map:
		return "object"
	}
	return "nothing"
}

// Value is a value in a text that [Object] reads. Its methods return ErrKind if it is of another kind than the one they are for;
// what they return is the caller's own.
type Value struct {
	text    string // as it is written, without the space around it
	kind    Kind
	escaped bool // a string with escapes
}

// Raw returns a copy of the value as it is written.
func (v Value) Raw() []byte { return []byte(v.text) }

// Kind returns what the value is.
func (v Value) Kind() Kind { return v.kind }

// String returns the text of a string, with escapes resolved.
func (v Value) String() (string, error) {
	if v.kind != String {
		return "", v.not(String)
	}
	inside := v.text[1 : len(v.text)-1]
	if v.escaped {
		return unescape(inside), nil
	}
	return strings.Clone(inside), nil
}

// Number returns a number as the float64 nearest to it, or ErrRange.
func (v Value) Number() (float64, error) {
	if v.kind != Number {
		return 0, v.not(Number)
	}
	number, err := strconv.ParseFloat(v.text, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: no float64", ErrRange)
	}
	return number, nil
}

// Int returns a number that is written without fraction and exponent, or ErrRange.
func (v Value) Int() (int64, error) {
	if v.kind != Number {
		return 0, v.not(Number)
	}
	number, err := strconv.ParseInt(v.text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: no int64", ErrRange)
	}
	return number, nil
}

// Bool returns true or false.
func (v Value) Bool() (bool, error) {
	if v.kind != Bool {
		return false, v.not(Bool)
	}
	return v.text == "true", nil
}

// Strings returns the members of an array of strings, or a string as the only one: what the aud of a token may be (RFC 7519 §4.1.3).
func (v Value) Strings() ([]string, error) {
	if v.kind == String {
		text, err := v.String()
		return []string{text}, err
	}
	var all []string
	err := v.Array(func(member Value) error {
		text, err := member.String()
		all = append(all, text)
		return err
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// Object calls each for every member of an object, as the function [Object] does.
func (v Value) Object(each func(name string, value Value) error) error {
	if v.kind != Map {
		return v.not(Map)
	}
	r := reader{text: v.text}
	return r.object(1, each)
}

// Array calls each for every member of an array, in their order. An error of each ends it and is returned as it is.
func (v Value) Array(each func(Value) error) error {
	if v.kind != Array {
		return v.not(Array)
	}
	r := reader{text: v.text}
	return r.array(1, each)
}

func (v Value) not(want Kind) error {
	return fmt.Errorf("%w: %s instead of %s", ErrKind, v.kind, want)
}
