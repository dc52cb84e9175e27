package vet

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/berth-host/berth/host/fault"
)

// TestDeath distinguishes the module's fault from the machine's, also in cases that a
// test cannot cause on every machine.
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
		{"late and nearly out of CPU time", killed(ended{ready: true, late: true, cpu: 4500 * time.Millisecond}), CodeCPU, "stopped after 5s"},
		{"late with CPU time left", killed(ended{ready: true, late: true, cpu: 4499 * time.Millisecond}), "starved", ""},
		{"late without any CPU time", killed(ended{ready: true, late: true}), "starved", ""},
		{"late before it began", killed(ended{late: true}), "starved", ""},
		{"killed before it began", killed(ended{}), "", "could not start"},
		{"killed while small", killed(ended{ready: true, cpu: time.Second, resident: 100 << 20}), "", "was killed by another process"},
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
		case tt.code == "starved":
			if r != nil || !errors.Is(err, errStarved) {
				t.Errorf("%s: got %+v, %v", tt.name, r, err)
			}
		case tt.code == "" && (r != nil || !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), tt.text)):
			t.Errorf("%s: got %+v, %v, want no verdict with %q", tt.name, r, err, tt.text)
		case tt.code != "" && (err != nil || r == nil || r.Code != tt.code || !strings.Contains(r.Reason, tt.text)):
			t.Errorf("%s: got %+v, %v, want %s with %q", tt.name, r, err, tt.code, tt.text)
		}
	}
}

// TestStarvedModuleGetsMoreTime: twice as long after each child that got too little CPU
// time, and the normal time after a verdict.
func TestStarvedModuleGetsMoreTime(t *testing.T) {
	v := &Vetter{cfg: Config{Wall: 8 * time.Second}, stopped: make(map[key]stops)}
	for i, want := range []time.Duration{8, 16, 32, 64, 64} {
		if got := v.wall(key{1}); got != want*time.Second {
			t.Errorf("time %d: %v, want %ds", i, got, want)
		}
		v.countStop(key{1}, stops{starved: 1})
		v.countStop(key{1}, stops{preempted: 1})
	}
	if had := v.stops(key{1}); had != (stops{5, 5}) {
		t.Errorf("%+v", had)
	}
	if got := v.wall(key{2}); got != 8*time.Second {
		t.Errorf("another module: %v", got)
	}
	v.clearStops(key{1})
	if got := v.wall(key{1}); got != 8*time.Second {
		t.Errorf("after a verdict: %v", got)
	}
	for i := range 2 * maxRefused {
		v.countStop(key{byte(i), byte(i >> 8)}, stops{starved: 1})
	}
	if len(v.stopped) != maxRefused {
		t.Errorf("%d are remembered", len(v.stopped))
	}
}

func TestCPULimitIsWholeSeconds(t *testing.T) {
	for d, want := range map[time.Duration]time.Duration{1: time.Second, time.Second: time.Second, time.Second + 1: 2 * time.Second, 5 * time.Second: 5 * time.Second,
		5*time.Second - 1: 5 * time.Second, 90 * time.Second: 90 * time.Second} {
		if got := wholeSeconds(d); got != want {
			t.Errorf("%v: %v, want %v", d, got, want)
		}
	}
}
