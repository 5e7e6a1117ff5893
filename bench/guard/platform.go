package main

import (
	"fmt"
	"runtime"
	"strings"

	"golang.org/x/sys/cpu"
)

// Platform is what counts of instructions hold for: another compiler or instruction set does the same work by other instructions.
type Platform struct {
	Go   string // without the patch: go1.26
	Arch string // with the instructions that matter: amd64+avx2
}

// thisPlatform is the one that the guard was built with and runs on. valgrind shows programs one processor of its own, but one that
// has AVX2 only where the machine has it; the standard library's cryptography depends on it.
func thisPlatform() Platform {
	p := Platform{Go: minor(runtime.Version()), Arch: runtime.GOARCH}
	if cpu.X86.HasAVX2 && cpu.X86.HasBMI2 {
		p.Arch += "+avx2"
	}
	return p
}

// minor is version, such as go1.26.8, without its patch.
func minor(version string) string {
	parts := strings.SplitN(version, ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}

// uncounted says why instructions cannot be compared here with those of want, or that they can be: then it is empty. To take them
// anew valgrind is enough. look finds a program, as exec.LookPath does.
func (p Platform) uncounted(want Platform, update bool, look func(string) (string, error)) string {
	if _, err := look("valgrind"); err != nil {
		return "there is no valgrind (Debian: apt-get install valgrind)"
	}
	if p != want && !update {
		return fmt.Sprintf("%s is of %s on %s, and this is %s on %s", file, want.Go, want.Arch, p.Go, p.Arch)
	}
	return ""
}
