package bench

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Machine is what the figures were measured on.
type Machine struct {
	Processor string `json:"processor"`
	Cores     int    `json:"cores"`
	Memory    string `json:"memory"`
	Kernel    string `json:"kernel"`
}

// Report is what one benchmark writes to results/NAME.json and, as a table, to results/NAME.md.
type Report struct {
	Name     string            `json:"name"`
	Title    string            `json:"title"`
	Setting  string            `json:"setting"` // what holds for all rows
	Time     time.Time         `json:"time"`
	Machine  Machine           `json:"machine"`
	Versions map[string]string `json:"versions"`
	Rows     []Row             `json:"rows"`
}

// thisMachine describes the machine as Linux does.
func thisMachine() Machine {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		release = []byte("unknown")
	}
	kernel, _, _ := strings.Cut(strings.TrimSpace(string(release)), "-") // behind it stands who built it
	return Machine{
		Processor: fieldOf("/proc/cpuinfo", "model name"), Cores: runtime.NumCPU(),
		Memory: fieldOf("/proc/meminfo", "MemTotal"), Kernel: runtime.GOOS + " " + kernel,
	}
}

// write puts both files into the folder.
func (r *Report) write(folder string) error {
	return writeResults(folder, r.Name, r, r.markdown())
}

// writeResults writes name.json, with all that report holds, and name.md, with the table.
func writeResults(folder, name string, report any, table string) error {
	text, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return fmt.Errorf("encode report: %w", err)
	}
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return fmt.Errorf("make folder of results: %w", err)
	}
	for ending, content := range map[string]string{".json": string(text) + "\n", ".md": table} {
		if err := os.WriteFile(filepath.Join(folder, name+ending), []byte(content), 0o644); err != nil { //nolint:gosec // to be read
			return fmt.Errorf("write report: %w", err)
		}
	}
	return nil
}

// markdown is the report as a table.
func (r *Report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "### %s\n\n%s\n\n", r.Title, r.Setting)
	b.WriteString("| work | Countersign, per s | limit, per s | share | floor | p50 | p99 | limit's p99 | CPU ms per 1,000 requests | limit's |\n" +
		"|---|---|---|---|---|---|---|---|---|---|\n")
	for _, row := range r.Rows {
		fmt.Fprintf(&b, "| %s | %s ± %.0f%% | %s ± %.0f%% | **%.0f%%** | %.0f%% | %s | %s | %s | %s | %s |\n", row.Work,
			thousands(row.Ours.Rate), row.Ours.Spread()*50, thousands(row.Limit.Rate), row.Limit.Spread()*50,
			row.Share*100, row.Floor*100, millis(row.Ours.P50), millis(row.Ours.P99), millis(row.Limit.P99), cpu(row.Ours), cpu(row.Limit))
	}
	fmt.Fprintf(&b, "\nMeasured on %s: %s, %d cores, %s of memory, %s.\n", r.Time.Format(time.DateOnly), r.Machine.Processor,
		r.Machine.Cores, r.Machine.Memory, r.Machine.Kernel)
	for _, name := range slices.Sorted(maps.Keys(r.Versions)) {
		fmt.Fprintf(&b, "%s %s. ", name, r.Versions[name])
	}
	return strings.TrimRight(b.String(), " ") + "\n"
}

func cpu(f Figures) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(f.CPU)) {
		parts = append(parts, fmt.Sprintf("%s %.0f", name, f.CPU[name]*1000))
	}
	return strings.Join(parts, ", ")
}

func millis(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}

func thousands(n float64) string {
	text := fmt.Sprintf("%.0f", n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
