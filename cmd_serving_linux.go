package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
)

// forgetProgram takes the pages of the binary out of the process's memory. Linux maps sixteen at once around each that is touched, and the start
// touches code and tables all over the binary, most of which is never needed again: 40 MiB. What is needed comes back from the page cache, in
// microseconds. Only pages that are the file's are dropped, which is what Anonymous, of proc_pid_smaps(5), tells. Without /proc all stays as it is.
func forgetProgram() {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	mappings, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return
	}
	var from, to uintptr // of the mapping whose fields follow; to is 0 if it is another file's, or may be written to
	for line := range strings.SplitSeq(string(mappings), "\n") {
		switch {
		case strings.HasSuffix(line, " "+program):
			var access string
			if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &access); err != nil || strings.Contains(access, "w") {
				to = 0
			}
		case strings.HasPrefix(line, "Anonymous:"):
			if to > 0 && strings.HasSuffix(line, " 0 kB") {
				_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, from, to-from, syscall.MADV_DONTNEED) // it is advice
			}
			to = 0
		}
	}
}
