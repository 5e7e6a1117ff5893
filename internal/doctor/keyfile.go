package doctor

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/countersign/countersign/internal/seal"
)

func (c Config) keyFile() []step {
	return []step{single("master key file", c.lookAtKeyFile)}
}

func (c Config) lookAtKeyFile(_ context.Context, s step) Finding {
	path := c.MasterKeyFile
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s.fail("there is no file "+path, "correct the setting master_key_file; a new deployment makes one by `countersign master-key create "+path+"`")
	case err != nil:
		return s.fail(err.Error(), "let the user that runs the server read it")
	case !info.Mode().IsRegular(): // to open a pipe is to wait for who writes to it
		return s.fail(path+" is no regular file", "correct the setting master_key_file")
	}
	if _, err := seal.ReadKeyFile(path); err != nil { // it says what to do about the mode
		return s.fail(err.Error(), "see that it is the file that `countersign master-key create` made, which others may not read")
	}
	return s.ok(path + ", which others may not read")
}
