package vet

import (
	"bytes"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// weak names the limits that this system does not enforce; "" for none.
const weak = ""

// program returns the file that this process executes, even if its name was reused.
func program() (string, error) {
	const self = "/proc/self/exe"
	if _, err := os.Stat(self); err == nil {
		return self, nil
	}
	return os.Executable()
}

// ofParent makes the kernel kill a child when its parent dies, and gives the child a
// process group of its own.
func ofParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// limitMemory bounds private writable memory to limit bytes above the present use,
// which is much higher under the race detector. RLIMIT_AS would also count reserved
// address space, and so refuse good modules.
func limitMemory(limit int64) error {
	total := uint64(limit + dataSize())
	return unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: total, Max: total})
}

// dataSize returns the private writable memory of this process in bytes, 0 if unknown.
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

// resident returns the child's peak resident memory in bytes.
func resident(usage *syscall.Rusage) int64 { return usage.Maxrss << 10 }
