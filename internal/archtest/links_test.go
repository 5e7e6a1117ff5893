package archtest_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

// TestLinks wants every link of a page, and every runbook of an alert, to lead to a file of the repository, and to a heading that is in it.
func TestLinks(t *testing.T) {
	t.Parallel()
	root := repository(t)
	link := regexp.MustCompile(`\]\(([^)\s]+)\)|runbook: (\S+)`)
	pages := 0
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != root && ignored(entry.Name()):
			return filepath.SkipDir
		case entry.IsDir() || filepath.Ext(path) != ".md" && filepath.Base(path) != "alerts.yaml":
			return nil
		}
		pages++
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, found := range link.FindAllStringSubmatch(prose(string(text)), -1) {
			from, target := filepath.Dir(path), found[1]
			if target == "" {
				from, target = root, found[2] // a runbook
			}
			checkLink(t, path, from, target)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if pages == 0 {
		t.Fatal("no page found")
	}
}

func checkLink(t *testing.T, path, from, target string) {
	t.Helper()
	if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
		return
	}
	file, heading, _ := strings.Cut(target, "#")
	to := filepath.Join(from, filepath.FromSlash(file))
	if file == "" {
		to = path
	}
	info, err := os.Stat(to)
	if err != nil {
		t.Errorf("%s: %s leads nowhere", path, target)
		return
	}
	if heading == "" || info.IsDir() {
		return
	}
	text, err := os.ReadFile(to)
	if err != nil {
		t.Fatal(err)
	}
	if !headings(string(text))[heading] {
		t.Errorf("%s: %s has no such heading", path, target)
	}
}

// prose is a page without its blocks, fenced or indented, and its code.
func prose(text string) string {
	text = regexp.MustCompile("(?ms)^```.*?^```$").ReplaceAllString(text, "")
	text = regexp.MustCompile("(?m)^ {4,}.*$").ReplaceAllString(text, "")
	return regexp.MustCompile("`[^`\n]*`").ReplaceAllString(text, "")
}

// headings are the anchors that GitHub makes of a page's headings.
func headings(text string) map[string]bool {
	all := map[string]bool{}
	text = regexp.MustCompile("(?ms)^```.*?^```$").ReplaceAllString(text, "")
	for _, found := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(text, -1) {
		anchor := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, found[1])
		all[anchor] = true
	}
	return all
}
