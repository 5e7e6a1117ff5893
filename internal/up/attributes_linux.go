package up

import "syscall"

// childAttributes ends a child with its parent even if the child is stopped and cannot read its leash.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
