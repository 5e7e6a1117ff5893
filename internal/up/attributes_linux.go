package up

import (
	"fmt"
	"syscall"
)

// childAttributes ends a child with its parent even if the child is stopped and cannot read its leash.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// endWithParent has the kernel send this process SIGTERM when the one that started it ends.
func endWithParent() error {
	if _, _, errno := syscall.Syscall(syscall.SYS_PRCTL, syscall.PR_SET_PDEATHSIG, uintptr(syscall.SIGTERM), 0); errno != 0 {
		return fmt.Errorf("tie this process to its parent: %w", errno)
	}
	return nil
}
