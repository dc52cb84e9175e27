package fleet

import "syscall"

// childAttributes let a host run in a process group of its own, so that Ctrl-C signals this
// program alone, and end it with this program, also when that is killed.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
