package registry

import (
	"fmt"
	"strconv"

	"github.com/countersign/countersign/internal/fault"
)

// DocumentError says everything that is wrong with a document. It is fault.InvalidRequest.
type DocumentError struct {
	Wrong []Wrong // at most 100
	Count int     // how many there are in all
}

// Wrong is one thing that is wrong with a document.
type Wrong struct {
	Pointer string // JSON pointer into the document as it is sent (RFC 6901), such as /clients/3/grants/0/scopes
	Detail  string
}

const maxWrong = 100

// Error implements error.
func (e *DocumentError) Error() string { return e.first().Error() }

// Unwrap makes of it a fault that names the first error.
func (e *DocumentError) Unwrap() error { return e.first() }

func (e *DocumentError) first() *fault.Error {
	detail := e.Wrong[0].Detail
	if e.Count > 1 {
		detail = fmt.Sprintf("%s (the first of %d errors)", detail, e.Count)
	}
	return fault.New(fault.InvalidRequest, detail).At(e.Wrong[0].Pointer)
}

// add takes down that something is wrong.
func (e *DocumentError) add(at pointer, detail string) {
	if e.Count++; len(e.Wrong) < maxWrong {
		e.Wrong = append(e.Wrong, Wrong{string(at), detail})
	}
}

// orNil returns e as an error if there is anything in it.
func (e *DocumentError) orNil() error {
	if e.Count == 0 {
		return nil
	}
	return e
}

// pointer is a JSON pointer.
type pointer string

func (p pointer) at(member string) pointer { return p + "/" + pointer(member) }
func (p pointer) index(i int) pointer      { return p + "/" + pointer(strconv.Itoa(i)) }
