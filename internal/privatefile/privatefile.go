// Package privatefile writes files that only their owner may read.
package privatefile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Write replaces the file at path as a whole: whoever reads it meanwhile sees the old text or the new one. The new file has mode
// 0600 and is on the disk when Write returns. Nothing is left behind if it fails.
func Write(path string, text []byte) error {
	aside, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = aside.Write(text)
	err = errors.Join(err, aside.Sync(), aside.Close())
	if err == nil {
		err = os.Rename(aside.Name(), path)
	}
	if err != nil {
		_ = os.Remove(aside.Name())
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
