package doctor

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Open files of a host: connections, the store, watches.
const (
	filesNeeded = 256
	filesWanted = 1_024
)

// Limits checks the limits of a host: of the process pid, or of this process (0),
// from which a host may be started.
func Limits(pid int) []Finding {
	limit := func(resource int) uint64 { return limitOf(pid, resource) }
	findings := []Finding{openFiles(limit(unix.RLIMIT_NOFILE))}
	if n := limit(unix.RLIMIT_FSIZE); n != unlimited {
		findings = append(findings, Warn("file size limit", fmt.Sprintf("a file may have at most %s: beyond it the store refuses events",
			bytesText(n)), "ulimit -f unlimited, or LimitFSIZE=infinity in the unit"))
	}
	if n := limit(unix.RLIMIT_AS); n != unlimited {
		findings = append(findings, Warn("address space limit",
			fmt.Sprintf("a process may have at most %s of address space: compiling and guests use a lot", bytesText(n)),
			"ulimit -v unlimited; bound the memory with defaults.memory_total or a cgroup"))
	}
	return findings
}

const unlimited = math.MaxUint64

// limitOf returns a soft limit of a process; unlimited when it cannot be read.
func limitOf(pid, resource int) uint64 {
	l, err := rlimit(pid, resource)
	if err != nil {
		return unlimited
	}
	if l.Cur >= math.MaxInt64 { // the value of infinity differs between systems
		return unlimited
	}
	return l.Cur
}

func openFiles(n uint64) Finding {
	const check, advice = "open files", "ulimit -n 65536, or LimitNOFILE=65536 in the unit"
	shown := fmt.Sprintf("a process may have %d open files", n)
	switch {
	case n == unlimited:
		shown = "no limit"
	case n < filesNeeded:
		return Bad(check, shown+": beyond it connections are refused", advice)
	case n < filesWanted:
		return Warn(check, shown, advice)
	}
	return Good(check, shown)
}

// Memory compares the limit of all instances' memory together, wanted, with the
// memory of the machine and of the cgroup, in bytes; 0 is unknown.
func Memory(wanted, machine, group uint64) Finding {
	const check = "memory"
	has, of := machine, "the machine"
	if group > 0 && (machine == 0 || group < machine) {
		has, of = group, "the cgroup"
	}
	if has == 0 {
		return Good(check, "the available memory is unknown; handlers may use "+bytesText(wanted)+" together")
	}
	shown := fmt.Sprintf("handlers may use %s together; %s has %s", bytesText(wanted), of, bytesText(has))
	if wanted > has/4*3 {
		return Warn(check, shown+": the kernel may kill the host", "set defaults.memory_total to at most half of that")
	}
	return Good(check, shown)
}

// CgroupMemory returns the memory limit of this process's cgroup in bytes, of
// version 1 (memory.limit_in_bytes) or 2 (memory.max); 0 when unlimited or unknown.
func CgroupMemory() uint64 { return CgroupMemoryOf(0) }

// CgroupMemoryOf is CgroupMemory for another process; 0 is this one.
func CgroupMemoryOf(pid int) uint64 {
	self := "self"
	if pid > 0 {
		self = strconv.Itoa(pid)
	}
	return cgroupMemory(filepath.Join("/proc", self, "cgroup"), "/sys/fs/cgroup")
}

func cgroupMemory(self, mount string) uint64 {
	text, err := os.ReadFile(self)
	if err != nil {
		return 0
	}
	var lowest uint64
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3) // number, controllers, path
		if len(parts) < 3 {
			continue
		}
		root, name := mount, "memory.max"
		switch {
		case parts[1] == "" && parts[0] == "0":
		case slices.Contains(strings.Split(parts[1], ","), "memory"):
			root, name = filepath.Join(mount, "memory"), "memory.limit_in_bytes"
		default:
			continue
		}
		if n := lowestLimit(root, parts[2], name); n > 0 && (lowest == 0 || n < lowest) {
			lowest = n
		}
	}
	return lowest
}

// noLimit is the value in version 1 without a limit: the largest number of whole pages.
const noLimit = 1 << 62

// lowestLimit returns the lowest limit of a cgroup and its parents; 0 for none.
func lowestLimit(root, path, name string) (lowest uint64) {
	for dir := filepath.Join(root, filepath.Clean("/"+path)); ; dir = filepath.Dir(dir) {
		if text, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
			n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
			if err == nil && n < noLimit && (lowest == 0 || n < lowest) {
				lowest = n
			}
		}
		if len(dir) <= len(root) {
			return lowest
		}
	}
}

// AvailableMemory returns the memory available to this process in bytes: the machine's,
// or the limit of its cgroup if that is lower; 0 when unknown.
func AvailableMemory() int64 { return lowerLimit(machineMemory(), CgroupMemory()) }

func lowerLimit(machine int64, group uint64) int64 {
	if group > 0 && group <= math.MaxInt64 && (machine == 0 || int64(group) < machine) {
		return int64(group)
	}
	return machine
}
