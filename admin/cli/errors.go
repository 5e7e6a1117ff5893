package cli

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/countersign/countersign/admin/wire"
)

// The exit codes of the commands, beside 0 for success.
const (
	ExitFailed      = 1 // the server refused the request, or something local failed
	ExitUsage       = 2 // the command line, a setting or a file is not as it should be, or a question was not answered with yes
	ExitNotFound    = 3 // 404
	ExitNotAllowed  = 4 // 401 and 403, and credentials that the issuer refuses
	ExitConflict    = 5 // 409 and 412: something is in the way, or changed meanwhile
	ExitUnavailable = 6 // nobody answers, or 429, 502, 503 and 504: try again later
)

// ExitHelp explains the exit codes.
const ExitHelp = `Exit codes: 0 done; 1 failed; 2 wrong usage, or not confirmed; 3 not found; 4 not allowed;
5 conflict, or changed meanwhile; 6 unavailable, try again later.`

// UsageError is a mistake in how a command was called.
type UsageError struct{ Err error }

// Error implements error.
func (e UsageError) Error() string { return e.Err.Error() }

// Unwrap returns what is wrong.
func (e UsageError) Unwrap() error { return e.Err }

func usagef(format string, args ...any) error { return UsageError{fmt.Errorf(format, args...)} }

// ExitCode returns the exit code for an error of a command, ExitFailed for an error that is none of this package.
func ExitCode(err error) int {
	if _, ok := errors.AsType[UsageError](err); ok {
		return ExitUsage
	}
	found, ok := errors.AsType[*remoteError](err)
	if !ok {
		return ExitFailed
	}
	switch found.status {
	case http.StatusNotFound:
		return ExitNotFound
	case http.StatusUnauthorized, http.StatusForbidden:
		return ExitNotAllowed
	case http.StatusConflict, http.StatusPreconditionFailed:
		return ExitConflict
	case unreachable, http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return ExitUnavailable
	}
	return ExitFailed
}

// unreachable stands for the status of an answer that never came.
const unreachable = -1

// remoteError is a refusal, or silence, of the admin API or of the issuer.
type remoteError struct {
	status  int // of HTTP; unreachable: none; 0: the answer makes no sense
	problem wire.Problem
	what    string // in place of a problem document
	err     error
}

func (e *remoteError) Unwrap() error { return e.err }

// Error names what is wrong, each member at fault in a line of its own where there are several, and the request id for who looks into
// the server's log.
func (e *remoteError) Error() string {
	text := e.what
	if text == "" {
		text = e.problem.Detail
	}
	if text == "" {
		text = e.problem.Title
	}
	if text == "" {
		text = fmt.Sprintf("the server answers %d %s", e.status, http.StatusText(e.status))
	}
	if e.problem.Field != "" && len(e.problem.Errors) < 2 && !strings.HasPrefix(text, e.problem.Field) && e.problem.Code != "insufficient_scope" {
		text = e.problem.Field + ": " + text
	}
	if e.err != nil {
		text += ": " + e.err.Error()
	}
	if e.problem.Request != "" {
		text += " (request " + e.problem.Request + ")"
	}
	for _, at := range e.problem.Errors {
		if len(e.problem.Errors) > 1 || at.Detail != e.problem.Detail {
			text += "\n  " + strings.TrimPrefix(strings.TrimPrefix(at.Pointer, "#"), "/") + ": " + at.Detail
		}
	}
	return printable(text)
}
