package bench

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/countersign/countersign/bench/report"
)

// tick is the unit of processor time in /proc: USER_HZ, which Linux fixes at 100 for programs.
const tick = 10 * time.Millisecond

// spentDuring returns how much processor time each process used while work was done.
func spentDuring(pids map[string]int, work func() error) (map[string]time.Duration, error) {
	times := func() (map[string]time.Duration, error) {
		all := make(map[string]time.Duration, len(pids))
		for name, pid := range pids {
			t, err := cpuTime(pid)
			if err != nil {
				return nil, err
			}
			all[name] = t
		}
		return all, nil
	}
	before, err := times()
	if err != nil {
		return nil, err
	}
	if err := work(); err != nil {
		return nil, err
	}
	spent, err := times()
	for name, t := range before {
		spent[name] -= t
	}
	return spent, err
}

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
func resident(pid int) (int64, error) { return memory(pid, "VmRSS") }

// peak returns the most memory that a process ever had in use, in bytes.
func peak(pid int) (int64, error) { return memory(pid, "VmHWM") }

func memory(pid int, field string) (int64, error) {
	text := report.FieldOf(fmt.Sprintf("/proc/%d/status", pid), field)
	kilobytes, err := strconv.ParseInt(strings.TrimSuffix(text, " kB"), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read memory of %d: %w", pid, err)
	}
	return kilobytes << 10, nil
}
