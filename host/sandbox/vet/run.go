package vet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/berth-host/berth/host/fault"
)

const (
	maxReport = 4 << 20 // bytes; the longest lists a Report may hold are under 2 MiB
	maxStderr = 64 << 10
)

// ended is how a child ended.
type ended struct {
	report   []byte // the output after ready
	ready    bool
	stderr   string
	state    string         // for people
	exit     int            // its exit code, -1 after a signal
	signal   syscall.Signal // that ended it
	late     bool           // it was killed at the end of its wall time
	cpu      time.Duration
	resident int64 // peak, in bytes
}

// errStarved means that a child got too little CPU time for a verdict.
var errStarved = errors.New("the child got too little CPU time")

// child vets wasm in a child process whose directory is dir. begun is the report so
// far, which is completed with a refusal if the child dies.
func (v *Vetter) child(ctx context.Context, name key, dir string, wasm []byte, begun Report) (Report, error) {
	end, err := v.run(ctx, dir, v.request(len(wasm)), bytes.NewReader(wasm), v.wall(name))
	if err != nil {
		return Report{}, err
	}
	if end.exit != 0 {
		refusal, err := v.death(end)
		begun.Error = refusal
		return begun, err
	}
	var report Report
	if err := json.Unmarshal(end.report, &report); err != nil {
		return Report{}, fault.New(fault.Internal, "vet: the child's report: %w", err)
	}
	if report.SHA256 != begun.SHA256 || report.Size != begun.Size {
		return Report{}, fault.New(fault.Internal, "vet: the child reports on another module, %s", report.SHA256)
	}
	return report, nil
}

// run runs a child to its end. The error says why it could not be started, or that ctx
// ended.
func (v *Vetter) run(ctx context.Context, dir string, req request, module io.Reader, wall time.Duration) (ended, error) {
	head, err := json.Marshal(req)
	if err != nil {
		return ended{}, fault.New(fault.Internal, "vet: %w", err)
	}
	within, cancel := context.WithTimeout(ctx, wall)
	defer cancel()
	stdout, stderr := &capped{left: maxReport}, &capped{left: maxStderr}
	cmd := exec.CommandContext(within, v.cfg.Program, Command)
	cmd.Args[0] = "berth"
	cmd.Dir = dir
	// The environment only configures the Go runtime. GORACE is for tests: the race
	// detector otherwise waits a second before it exits.
	cmd.Env = []string{"GOMAXPROCS=1", fmt.Sprintf("GOMEMLIMIT=%d", req.Memory/4*3), "GOTRACEBACK=none", "GORACE=atexit_sleep_ms=0"}
	cmd.Stdin = io.MultiReader(bytes.NewReader(append(head, '\n')), module)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.SysProcAttr = ofParent()
	late := false
	cmd.Cancel = func() error {
		late = true
		return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	cmd.WaitDelay = time.Second
	// A child dies with the thread that started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return ended{}, fault.New(fault.Unavailable, "vet: start a child: %w", err)
	}
	err = cmd.Wait()
	if ctx.Err() != nil {
		return ended{}, waited(ctx)
	}
	var exit *exec.ExitError
	if err != nil && cmd.ProcessState.Success() {
		return ended{}, fault.New(fault.Unavailable, "vet: exchange data with the child: %w", err)
	}
	if err != nil && !errors.As(err, &exit) && !late {
		v.cfg.Logger.Debug("vet child ended", "error", err)
	}
	end := ended{stderr: strings.TrimSpace(stderr.buf.String()), state: cmd.ProcessState.String(), exit: cmd.ProcessState.ExitCode(),
		late: late,
		cpu:  cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		end.signal = status.Signal()
	}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		end.resident = resident(usage)
	}
	end.report, end.ready = bytes.CutPrefix(stdout.buf.Bytes(), []byte(ready))
	return end, nil
}

// wholeSeconds rounds up to seconds, the unit of the CPU time limit.
func wholeSeconds(d time.Duration) time.Duration {
	return (d + time.Second - 1).Truncate(time.Second)
}

// death decides from a child's end whether its module is at fault: a refusal, or an
// error, which is no verdict.
func (v *Vetter) death(end ended) (*Refusal, error) {
	first, _, _ := strings.Cut(end.stderr, "\n")
	noVerdict := func(why string) error {
		return fault.New(fault.Unavailable, "vet: the child %s (%v, %v of CPU time, %s of memory)", why, end.state, end.cpu,
			Amount(uint64(end.resident), "bytes"))
	}
	memory := func() *Refusal {
		return &Refusal{Code: CodeMemory, Limit: "memory to compile it", Measured: uint64(end.resident), Max: uint64(v.cfg.Memory),
			Unit: "bytes",
			Reason: fmt.Sprintf("to compile it takes more memory than the limit of %s (it had %s when it asked for more)",
				Amount(uint64(v.cfg.Memory), "bytes"), Amount(uint64(end.resident), "bytes"))}
	}
	cpu := wholeSeconds(v.cfg.CPU)
	switch {
	case end.exit == exitCPU, end.signal == syscall.SIGKILL && end.cpu >= cpu/10*9:
		// The time that the limit counts and the reported time differ by a few percent.
		took := max(end.cpu, cpu)
		return &Refusal{Code: CodeCPU, Limit: "CPU time", Measured: uint64(took.Milliseconds()), Max: uint64(cpu.Milliseconds()),
			Unit: "ms",
			Reason: fmt.Sprintf("to compile it takes more CPU time than the limit of %v (it was stopped after %v)", cpu,
				took.Round(time.Millisecond))}, nil
	case end.late:
		return nil, errStarved
	case !end.ready:
		return nil, noVerdict("could not start: " + first)
	case end.exit == ExitNoVerdict:
		return nil, noVerdict("failed: " + first)
	case strings.Contains(end.stderr, "failed to create new OS thread"):
		return nil, noVerdict("could not start a thread")
	case strings.Contains(end.stderr, "out of memory"), strings.Contains(end.stderr, "cannot allocate memory"),
		strings.Contains(end.stderr, "failed to allocate"): // under the race detector
		return memory(), nil
	case end.signal == syscall.SIGKILL && end.resident < v.cfg.Memory/2:
		return nil, noVerdict("was killed by another process")
	case end.signal == syscall.SIGKILL:
		return memory(), nil // by the kernel's out-of-memory killer
	}
	return &Refusal{Code: CodeCrash, Reason: fmt.Sprintf("the compiler crashed on it (%v): %s", end.state, first)}, nil
}

// capped keeps the first bytes written to it and discards the others.
type capped struct {
	buf  bytes.Buffer
	left int
}

// Write implements io.Writer.
func (c *capped) Write(p []byte) (int, error) {
	n := min(len(p), c.left)
	c.left -= n
	c.buf.Write(p[:n])
	return len(p), nil
}
