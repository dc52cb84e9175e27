package vet

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/berth-host/berth/host/fault"
)

// TestDeath tells the module's fault from the machine's, also where a test
// cannot bring it about on every machine.
func TestDeath(t *testing.T) {
	v := &Vetter{cfg: Config{Memory: 1 << 30, CPU: 5 * time.Second, Wall: 8 * time.Second}}
	killed := func(e ended) ended {
		e.exit, e.signal, e.state = -1, syscall.SIGKILL, "signal: killed"
		return e
	}
	tests := []struct {
		name string
		end  ended
		code string // "" for no verdict
		text string
	}{
		{"its CPU time is used up", ended{ready: true, exit: exitCPU, cpu: 4900 * time.Millisecond}, CodeCPU, "stopped after 5s"},
		{"the kernel stops it", killed(ended{ready: true, cpu: 5600 * time.Millisecond}), CodeCPU, "stopped after 5.6s"},
		{"busy until the end", killed(ended{ready: true, late: true, cpu: 4 * time.Second}), CodeWall, "more time than the limit of 8s"},
		{"idle until the end", killed(ended{ready: true, late: true, cpu: 3900 * time.Millisecond}), "", "got too little CPU time within 8s"},
		{"late before it began", killed(ended{late: true}), "", "got too little CPU time within 8s"},
		{"killed before it began", killed(ended{}), "", "could not begin"},
		{"killed while small", killed(ended{ready: true, cpu: time.Second, resident: 100 << 20}), "", "was killed by somebody else"},
		{"killed while large", killed(ended{ready: true, cpu: time.Second, resident: 600 << 20}), CodeMemory, "had 600 MiB"},
		{"out of memory", ended{ready: true, exit: 2, stderr: "fatal error: runtime: out of memory\n\nmore", resident: 900 << 20}, CodeMemory, "limit of 1 GiB"},
		{"no thread", ended{ready: true, exit: 2, stderr: "runtime: failed to create new OS thread (have 5 already; errno=11)"}, "", "could not start a thread"},
		{"a disk that is full", ended{ready: true, exit: ExitNoVerdict, stderr: "compile: no space left on device"}, "", "no space left on device"},
		{"a crash", ended{ready: true, exit: 2, state: "exit status 2", stderr: "panic: x\ny"}, CodeCrash, "crashed on it (exit status 2): panic: x"},
		{"a fault", ended{ready: true, exit: -1, signal: syscall.SIGSEGV, state: "signal: segmentation fault"}, CodeCrash, "segmentation fault"},
	}
	for _, tt := range tests {
		r, err := v.death(tt.end)
		switch {
		case tt.code == "" && (r != nil || !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), tt.text)):
			t.Errorf("%s: got %+v, %v, want no verdict with %q", tt.name, r, err, tt.text)
		case tt.code != "" && (err != nil || r == nil || r.Code != tt.code || !strings.Contains(r.Reason, tt.text)):
			t.Errorf("%s: got %+v, %v, want %s with %q", tt.name, r, err, tt.code, tt.text)
		}
	}
}
