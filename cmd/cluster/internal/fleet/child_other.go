//go:build !linux

package fleet

import "syscall"

// childAttributes let a host run in a process group of its own, so that Ctrl-C signals this
// program alone. A host outlives this program when that is killed.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
