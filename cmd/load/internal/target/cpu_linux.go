package target

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// clockTick is the unit of the times in /proc/PID/stat on every architecture that Go
// supports.
const clockTick = 10 * time.Millisecond

// CPU returns the processor time that the running process has used, in user and system
// mode, to 10 ms. It is 0 on systems other than Linux.
func (h *Host) CPU() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", h.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, after, _ := bytes.Cut(text, []byte(") ")) // the name of the program may have spaces
	fields := bytes.Fields(after)
	const user, system = 11, 12 // proc(5), from the third field on
	if len(fields) <= system {
		return 0, fmt.Errorf("/proc/%d/stat: %q", h.cmd.Process.Pid, text)
	}
	var ticks int64
	for _, field := range fields[user : system+1] {
		n, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * clockTick, nil
}
