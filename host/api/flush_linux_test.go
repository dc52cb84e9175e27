package api_test

import (
	"os"
	"syscall"
)

// flushFile flushes a file as the store does on this system.
func flushFile(f *os.File) error { return syscall.Fdatasync(int(f.Fd())) }
