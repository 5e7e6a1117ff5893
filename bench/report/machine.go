package report

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// Machine is what the figures were measured on.
type Machine struct {
	Processor string `json:"processor"`
	Cores     int    `json:"cores"`
	Memory    string `json:"memory"`
	Kernel    string `json:"kernel"`
}

// ThisMachine describes the machine as Linux does.
func ThisMachine() Machine {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		release = []byte("unknown")
	}
	kernel, _, _ := strings.Cut(strings.TrimSpace(string(release)), "-") // behind it stands who built it
	return Machine{
		Processor: FieldOf("/proc/cpuinfo", "model name"), Cores: runtime.NumCPU(),
		Memory: memory(FieldOf("/proc/meminfo", "MemTotal")), Kernel: runtime.GOOS + " " + kernel,
	}
}

// memory rounds what /proc says in kB, as what a machine has differs by what its kernel keeps.
func memory(text string) string {
	kilobytes, err := strconv.ParseFloat(strings.TrimSuffix(text, " kB"), 64)
	if err != nil {
		return text
	}
	return fmt.Sprintf("%.0f GiB", kilobytes/(1<<20))
}

// FieldOf returns what stands behind the first "name:" of a file of /proc, and nothing if there is no such line.
func FieldOf(file, name string) string {
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
