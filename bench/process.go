package bench

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of processor time in /proc: USER_HZ, which Linux fixes at 100 for programs.
const tick = 10 * time.Millisecond

// cpuTime returns the processor time that a process and those of its group have used, all threads, user and system. A server with
// worker processes has them in its group, which testbed makes for it.
func cpuTime(pid int) (time.Duration, error) {
	own, _, err := statOf(pid)
	if err != nil {
		return 0, err
	}
	others, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, fmt.Errorf("list processes: %w", err)
	}
	sum := own
	for _, other := range others {
		id, err := strconv.Atoi(filepath.Base(other))
		if err != nil || id == pid {
			continue
		}
		if t, group, err := statOf(id); err == nil && group == pid { // with an error it has just ended
			sum += t
		}
	}
	return sum, nil
}

// statOf returns the processor time and the group of one process.
func statOf(pid int) (spent time.Duration, group int, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, fmt.Errorf("read processor time: %w", err)
	}
	// The name, in parentheses, may hold anything; the group is the 3rd field after it, utime and stime are the 12th and 13th (proc(5)).
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 13 {
		return 0, 0, fmt.Errorf("read processor time: %q", stat)
	}
	var numbers [3]int64
	for n, at := range []int{2, 11, 12} {
		if numbers[n], err = strconv.ParseInt(fields[at], 10, 64); err != nil {
			return 0, 0, fmt.Errorf("read processor time: %w", err)
		}
	}
	return time.Duration(numbers[1]+numbers[2]) * tick, int(numbers[0]), nil
}

// resident returns the memory of a process that is in use, in bytes.
func resident(pid int) (int64, error) {
	text := fieldOf(fmt.Sprintf("/proc/%d/status", pid), "VmRSS")
	kilobytes, err := strconv.ParseInt(strings.TrimSuffix(text, " kB"), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read memory of %d: %w", pid, err)
	}
	return kilobytes << 10, nil
}

// fieldOf returns what stands behind the first "name:" of a file of /proc, and nothing if there is no such line.
func fieldOf(file, name string) string {
	text, err := os.ReadFile(file) //nolint:gosec // a file of /proc
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if key, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
