package seal

import "io/fs"

// Exposed reports whether others than the user self may touch a file of this mode and owner.
func Exposed(mode fs.FileMode, owner, self int) bool { return exposed(mode, owner, self) }
