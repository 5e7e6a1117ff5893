package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const sdkModule = "github.com/countersign/countersign/sdk"

// TestPagesCompile compiles and vets every block of Go on the pages that users copy from, in a module of its own as theirs are.
func TestPagesCompile(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for _, page := range []string{"docs/sdk.md", "README.md"} {
		for _, b := range goBlocks(t, page) {
			name := fmt.Sprintf("%s-%d", strings.TrimSuffix(filepath.Base(page), ".md"), b.line)
			write(t, filepath.Join(folder, name, "page_test.go"), b.source(page))
		}
	}
	sdkUser(t, folder)
	vet := exec.CommandContext(t.Context(), "go", "vet", "./...")
	vet.Dir, vet.Env = folder, append(os.Environ(), "GOFLAGS=-mod=readonly")
	if printed, err := vet.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, printed)
	}
}

// goBlock is a fenced block of Go on a page.
type goBlock struct {
	line   int
	before string // the line of text before it
	code   string
}

func goBlocks(t *testing.T, page string) (blocks []goBlock) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", page))
	if err != nil {
		t.Fatal(err)
	}
	var before string
	inside := false
	for n, line := range strings.Split(string(text), "\n") {
		switch {
		case line == "```go":
			blocks, inside = append(blocks, goBlock{line: n + 2, before: before}), true
		case line == "```":
			inside = false
		case inside:
			blocks[len(blocks)-1].code += line + "\n"
		case line != "":
			before = line
		}
	}
	if len(blocks) == 0 {
		t.Fatalf("%s has no block of Go", page)
	}
	return blocks
}

// surroundings are what statements on a page take for granted.
const surroundings = `(
	ctx context.Context, client *sdk.Client, source *sdk.TokenSource, verifier *sdk.Verifier, store *sdkredis.Store,
	mux *http.ServeMux, items http.Handler, listItems, reserve http.HandlerFunc, router *gin.Engine,
) error {`

// source makes a file of a block: of a whole one, of declarations, or of statements.
func (b goBlock) source(page string) string {
	code := fmt.Sprintf("//line %s:%d\n%s", page, b.line, b.code)
	switch {
	case strings.HasPrefix(b.code, "package "):
		return code
	case strings.HasPrefix(b.code, "func "):
		return "package page\n" + imports(b.code) + code
	}
	code = "func _" + surroundings + "{\n" + code + usesOf(b.code) + "}\nreturn nil\n}\n"
	return "package page\n" + imports(code) + code
}

// usesOf returns statements that use the variables which the code declares for its reader.
func usesOf(code string) string {
	var uses strings.Builder
	for _, declaration := range regexp.MustCompile(`(?m)^(\w[\w, ]*) := `).FindAllStringSubmatch(code, -1) {
		for name := range strings.SplitSeq(declaration[1], ", ") {
			uses.WriteString("_ = " + name + "\n")
		}
	}
	return uses.String()
}

// imports returns the import declarations for what code names.
func imports(code string) string {
	var list strings.Builder
	for _, path := range []string{
		"context", "encoding/json", "fmt", "io", "net/http", "net/url", "os", "testing", "time",
		sdkModule, sdkModule + "/sdkgin", sdkModule + "/sdkgrpc", sdkModule + "/sdkredis", sdkModule + "/sdktest",
		"github.com/gin-gonic/gin", "google.golang.org/grpc", "google.golang.org/grpc/credentials",
		"golang.org/x/oauth2/clientcredentials",
	} {
		if regexp.MustCompile(`\b` + path[strings.LastIndexByte(path, '/')+1:] + `\.[A-Z]`).MatchString(code) {
			fmt.Fprintf(&list, "import %q\n", path)
		}
	}
	return list.String()
}

// sdkUser makes the folder a module that uses the SDK of this checkout, with the versions of everything else that the SDK has.
func sdkUser(t *testing.T, folder string) {
	t.Helper()
	sdk, err := filepath.Abs("../sdk")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(sdk, name))
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(text), "\n")
		if name == "go.mod" {
			lines = slices.DeleteFunc(lines, func(line string) bool { return strings.HasPrefix(line, "module ") })
			lines = append([]string{"module example.com/page"}, lines...)
			lines = append(lines, fmt.Sprintf("require %s v0.0.0\nreplace %s => %q\n", sdkModule, sdkModule, sdk))
		}
		write(t, filepath.Join(folder, name), strings.Join(lines, "\n"))
	}
}

// write writes a file, and makes its folder.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
