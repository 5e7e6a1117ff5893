package main

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// Most of the binary leaves the process's memory, and comes back when it is needed.
func TestForgetProgram(t *testing.T) {
	before := residentFile(t)
	forgetProgram()
	if after := residentFile(t); after > before/2 {
		t.Errorf("%d KiB of files are in memory, %d before", after, before)
	}
}

// residentFile is how many KiB of the files that are mapped the process has in memory, as proc_pid_status(5) tells.
func residentFile(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "RssFile:")
	text, _, _ := strings.Cut(rest, " kB")
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		t.Fatal(err)
	}
	return n
}
