//go:build unix

package sdk

import (
	"io/fs"
	"os"
	"syscall"
)

// noWait keeps the opening of a pipe that lies in a file's place from waiting for somebody who writes to it.
const noWait = syscall.O_NONBLOCK

// onlyOurs tells whether nobody else could have written the file: it belongs to this user, or to root, and others may not write to it.
func onlyOurs(info fs.FileInfo) bool {
	const writableByOthers = 0o022
	owner, ok := info.Sys().(*syscall.Stat_t)
	return ok && (owner.Uid == 0 || int(owner.Uid) == os.Geteuid()) && info.Mode().Perm()&writableByOthers == 0
}
