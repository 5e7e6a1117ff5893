//go:build !unix

package sdk

import "io/fs"

const noWait = 0

// onlyOurs cannot tell: there are no owners and modes here. The folder has to be out of reach for others.
func onlyOurs(fs.FileInfo) bool { return true }
