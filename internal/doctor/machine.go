package doctor

import (
	"bufio"
	"context"
	"fmt"
	"io/fs"
	"math"
	"path"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
)

const (
	fewFiles    = 4096      // a connection takes one
	littleBytes = 256 << 20 // of memory
	listening   = "0A"      // the state of a socket, in /proc/net/tcp
)

func (c Config) machine() []step {
	return []step{
		single("open files", func(_ context.Context, s step) Finding { return openFiles(s) }),
		single("processors", func(_ context.Context, s step) Finding {
			return s.ok(fmt.Sprintf("%d used of %d (GOMAXPROCS)", runtime.GOMAXPROCS(0), runtime.NumCPU()))
		}),
		single("memory", func(_ context.Context, s step) Finding { return c.memory(s, debug.SetMemoryLimit(-1)) }),
	}
}

func openFiles(s step) Finding {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return s.warn("the limit cannot be read: "+err.Error(), "see `ulimit -n`")
	}
	return judgeFiles(s, limit.Max) // a Go program raises its own limit to the highest that it may have
}

func judgeFiles(s step, limit uint64) Finding {
	found := fmt.Sprintf("up to %d", limit)
	if limit >= math.MaxInt64 {
		found = "no limit"
	}
	if limit < fewFiles {
		return s.warn(found, "raise the limit to 65536 (LimitNOFILE of systemd, ulimit -n): every connection takes one")
	}
	return s.ok(found)
}

// memory compares what the container or the machine has with what the Go runtime was told.
func (c Config) memory(s step, told int64) Finding {
	limit, where := MemoryLimit(c.Root)
	switch {
	case limit == 0:
		return s.ok("the limit cannot be seen here")
	case limit < littleBytes:
		return s.warn(fmt.Sprintf("%d MiB in this %s", limit>>20, where), "give it 256 MiB or more")
	case where == "control group" && told > limit:
		return s.warn(fmt.Sprintf("%d MiB in this %s, of which the program is not told", limit>>20, where),
			fmt.Sprintf("set GOMEMLIMIT=%dMiB, so that memory is given back before the limit ends the program", limit/10*9>>20))
	}
	return s.ok(fmt.Sprintf("%d MiB in this %s", limit>>20, where))
}

// MemoryLimit is how much memory the control group of this process, or else the machine, has, in bytes; 0 if files below root, which is / of the process, do not tell.
func MemoryLimit(root fs.FS) (limit int64, where string) {
	for _, file := range []string{"sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		text, err := fs.ReadFile(root, file)
		number, notNumber := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err == nil && notNumber == nil && number < 1<<50 { // without a limit there is "max", or a number near 2⁶³
			return number, "control group"
		}
	}
	text, err := fs.ReadFile(root, "proc/meminfo")
	if err != nil {
		return 0, ""
	}
	var kilobytes int64
	if _, err := fmt.Sscanf(string(text), "MemTotal: %d kB", &kilobytes); err != nil {
		return 0, ""
	}
	return kilobytes << 10, "machine"
}

// holder names the program that listens on a TCP port of this machine, as far as /proc tells; else it is empty.
func holder(root fs.FS, port string) string {
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return ""
	}
	sockets := map[string]bool{}
	for _, file := range []string{"proc/net/tcp", "proc/net/tcp6"} {
		collectSockets(root, file, fmt.Sprintf(":%04X", number), sockets)
	}
	links, _ := fs.Glob(root, "proc/[0-9]*/fd/*")
	for _, link := range links {
		target, err := fs.ReadLink(root, link)
		if err != nil || !sockets[target] {
			continue
		}
		pid, _ := strconv.Atoi(strings.Split(link, "/")[1])
		name, err := fs.ReadFile(root, path.Join("proc", strconv.Itoa(pid), "comm"))
		if err == nil {
			return describe(strings.TrimSpace(string(name)), pid)
		}
	}
	return ""
}

// collectSockets adds the names of the sockets that listen on a port, as links of /proc have them.
func collectSockets(root fs.FS, file, port string, into map[string]bool) {
	table, err := root.Open(file)
	if err != nil {
		return
	}
	defer func() { _ = table.Close() }()
	lines := bufio.NewScanner(table)
	for lines.Scan() {
		const local, state, inode = 1, 3, 9 // columns
		columns := strings.Fields(lines.Text())
		if len(columns) > inode && strings.HasSuffix(columns[local], port) && columns[state] == listening {
			into["socket:["+columns[inode]+"]"] = true
		}
	}
}
