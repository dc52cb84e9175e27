package fleet

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Quota limits the processor time of a process, by a control group.
type Quota struct{ dir string }

// quotaPeriod is the time within which a process gets its share of a processor.
const quotaPeriod = 100 * time.Millisecond

// NewQuota makes a control group whose processes get so many processors together. It needs root.
func NewQuota(name string, processors float64) (*Quota, error) {
	period := quotaPeriod.Microseconds()
	share := int64(processors * float64(period))
	first, errFirst := makeGroup(filepath.Join("/sys/fs/cgroup/cpu", name), map[string]string{
		"cpu.cfs_period_us": strconv.FormatInt(period, 10), "cpu.cfs_quota_us": strconv.FormatInt(share, 10)})
	if errFirst == nil {
		return first, nil
	}
	const root = "/sys/fs/cgroup"
	enabled := os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), []byte("+cpu"), 0)
	second, errSecond := makeGroup(filepath.Join(root, name), map[string]string{"cpu.max": fmt.Sprintf("%d %d", share, period)})
	if err := errors.Join(enabled, errSecond); err != nil {
		if second != nil {
			err = errors.Join(err, second.Close())
		}
		return nil, fmt.Errorf("processor time cannot be limited here, which root can in control groups of version 1 (%w) or 2 (%w)", errFirst, err)
	}
	return second, nil
}

// makeGroup makes a control group with settings in an existing directory of such.
func makeGroup(dir string, settings map[string]string) (*Quota, error) {
	if _, err := os.Stat(filepath.Join(filepath.Dir(dir), "cgroup.procs")); err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	q := &Quota{dir}
	for name, value := range settings {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(value), 0); err != nil { // no file is made
			return nil, errors.Join(err, q.Close())
		}
	}
	return q, nil
}

// Add limits a host from now on, until its process ends.
func (q *Quota) Add(h *Host) error {
	return os.WriteFile(filepath.Join(q.dir, "cgroup.procs"), []byte(strconv.Itoa(h.PID())), 0)
}

// Close removes the group. Its processes must have ended.
func (q *Quota) Close() error { return os.Remove(q.dir) }

// ProcessorTime returns what the process has used until now.
func (h *Host) ProcessorTime() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", h.PID()))
	if err != nil {
		return 0, err
	}
	const ticks = 100 // a second, on every architecture of Go's
	_, after, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(after) // from the third one of proc(5)
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat is %q", h.PID(), text)
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * time.Second / ticks, errors.Join(err1, err2)
}
