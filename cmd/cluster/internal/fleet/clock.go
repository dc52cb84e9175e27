package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// shiftVariable has the seconds by which the clock of a host of Shifted differs.
const shiftVariable = "CLUSTER_CLOCK_SHIFT"

// What Shifted changes in time.Now of Go's standard library.
const (
	readsClock  = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	shiftsClock = readsClock + "\tsec += clockShift\n"
	readsShift  = `

var clockShift = func() int64 {
	text, _ := syscall.Getenv("` + shiftVariable + `")
	sign, n := int64(1), int64(0)
	for _, c := range []byte(text) {
		if c == '-' {
			sign = -1
		} else {
			n = n*10 + int64(c-'0')
		}
	}
	return sign * n
}()
`
)

// Shifted builds the host of the sources in the working directory into the fleet's directory,
// with a time.Now that Host.SetClock can shift, and returns its path. The sources are as they
// are: go build takes another file for the one of the standard library, so only the wall clock
// differs. Timers and the boot-time clock do not.
func (f *Fleet) Shifted(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOROOT: %w", err)
	}
	original := filepath.Join(strings.TrimSpace(string(out)), "src", "time", "time.go")
	text, err := os.ReadFile(original)
	if err != nil {
		return "", err
	}
	shifted, err := shiftClock(string(text))
	if err != nil {
		return "", fmt.Errorf("%s: %w", original, err)
	}
	replacement, list := filepath.Join(f.Dir, "time.go"), filepath.Join(f.Dir, "overlay.json")
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{original: replacement}})
	if err := errors.Join(err, os.WriteFile(replacement, []byte(shifted), 0o600), os.WriteFile(list, overlay, 0o600)); err != nil {
		return "", err
	}
	binary := filepath.Join(f.Dir, "berth-shifted")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-overlay", list, "-o", binary, "./cmd/berth")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build a host with another clock: %w: %s", err, out)
	}
	return binary, nil
}

// shiftClock returns the text of package time's time.go with a clock that shiftVariable shifts.
func shiftClock(text string) (string, error) {
	const imports, more = "import (\n", "import (\n\t\"syscall\"\n"
	if !strings.Contains(text, readsClock) || !strings.Contains(text, imports) {
		return "", errors.New("time.Now is not as these tests know it: change readsClock to what this version of Go has")
	}
	return strings.Replace(strings.Replace(text, readsClock, shiftsClock, 1), imports, more, 1) + readsShift, nil
}

// SetClock has the host run a binary of Shifted from its next start, with a wall clock that
// differs from this machine's.
func (h *Host) SetClock(binary string, shift time.Duration) {
	h.binary, h.env = binary, []string{shiftVariable + "=" + strconv.Itoa(int(shift/time.Second))}
}
