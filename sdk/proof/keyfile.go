package proof

import (
	"context"
	"log/slog"

	"github.com/countersign/countersign/sdk/internal/reload"
)

// maxKeyFile is how many bytes a key's file may have.
const maxKeyFile = 64 << 10

// KeyFile is a private key in a file, PEM or JWK as [ParseKey] reads it. The file is read again when it has changed, so that a key is replaced without
// a restart. It is safe for concurrent use.
type KeyFile struct{ file *reload.File[*Key] }

// NewKeyFile returns the key in the file at path, at most 64 KiB long. It does no I/O.
func NewKeyFile(path string, o KeyOptions) *KeyFile {
	return &KeyFile{reload.New("private key", maxKeyFile, func(texts [][]byte) (*Key, error) { return ParseKey(texts[0], o) }, path)}
}

// Key returns the key. While the file cannot be read or holds no key that can be used, it is the last good one, and log hears of it; the error
// means that there never was one.
func (f *KeyFile) Key(ctx context.Context, log *slog.Logger) (*Key, error) {
	return f.file.Value(ctx, log)
}
