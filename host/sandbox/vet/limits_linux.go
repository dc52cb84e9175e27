package vet

import (
	"bytes"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// weak says which of the limits this system does not hold; "" for none.
const weak = ""

// program is the file this process runs, also when another has taken its name.
func program() (string, error) {
	const self = "/proc/self/exe"
	if _, err := os.Stat(self); err == nil {
		return self, nil
	}
	return os.Executable()
}

// ofParent ties a child to its parent: it dies with it, and has a process group
// of its own.
func ofParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// limitMemory bounds private writable memory. RLIMIT_AS would count what is only
// reserved, and refuse good modules. What the process has already, under the
// race detector far more than else, is not counted.
func limitMemory(limit int64) error {
	most := uint64(limit + dataSize())
	return unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: most, Max: most})
}

// dataSize is the private writable memory of this process in bytes, 0 when it
// cannot be told.
func dataSize() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(status) {
		if value, ok := bytes.CutPrefix(line, []byte("VmData:")); ok {
			kib, _ := strconv.ParseInt(string(bytes.TrimSuffix(bytes.TrimSpace(value), []byte(" kB"))), 10, 64)
			return kib << 10
		}
	}
	return 0
}

// resident is the most memory the child had resident, in bytes.
func resident(usage *syscall.Rusage) int64 { return usage.Maxrss << 10 }
