// Package terminal writes for people: in colour where a terminal shows it, and nowhere else.
package terminal

import (
	"os"
	"slices"
	"strings"

	"github.com/mattn/go-isatty"
)

// Is reports whether stream, such as a command's standard output, is a terminal.
func Is(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && isatty.IsTerminal(file.Fd())
}

// Palette colours texts. The zero value leaves them as they are.
type Palette struct{ on bool }

// For returns the palette of stream: colours if it is a terminal, unless environ (as os.Environ returns it) says NO_COLOR or TERM=dumb.
func For(stream any, environ []string) Palette {
	plain := slices.ContainsFunc(environ, func(entry string) bool {
		return entry == "TERM=dumb" || strings.HasPrefix(entry, "NO_COLOR=") && entry != "NO_COLOR="
	})
	return Palette{on: !plain && Is(stream)}
}

// Strong is for what the eye should find first.
func (p Palette) Strong(text string) string { return p.paint("1", text) }

// Faint is for what may be passed over.
func (p Palette) Faint(text string) string { return p.paint("2", text) }

// Good is for what is as it should be.
func (p Palette) Good(text string) string { return p.paint("32", text) }

// Warn is for what somebody should look at.
func (p Palette) Warn(text string) string { return p.paint("33", text) }

// Bad is for what is wrong.
func (p Palette) Bad(text string) string { return p.paint("31", text) }

func (p Palette) paint(code, text string) string {
	if !p.on || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}
