package sdk

import (
	"errors"
	"strings"

	"github.com/countersign/countersign/sdk/internal/reload"
)

func newSecretFile(path string, post bool) *secret {
	const lineEnd = 2
	file := reload.New("client secret", secretLimit+lineEnd, func(texts [][]byte) (string, error) {
		text := strings.TrimSuffix(strings.TrimSuffix(string(texts[0]), "\n"), "\r")
		return text, checkSecret(text)
	}, path)
	return &secret{post: post, value: file.Value, check: func() error { return checkPath("client secret", path) }}
}

// checkPath tells of a path that cannot be meant.
func checkPath(what, path string) error {
	if path == "" {
		return errors.New("the path of the " + what + "'s file is empty")
	}
	return nil
}
