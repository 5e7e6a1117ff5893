//go:build linux || darwin

package sdk

import "io/fs"

// OnlyOurs tells whether nobody else could have written a state file.
func OnlyOurs(info fs.FileInfo) bool { return onlyOurs(info) }
