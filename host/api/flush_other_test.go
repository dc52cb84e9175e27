//go:build !linux

package api_test

import "os"

// flushFile flushes a file as the store does on this system.
func flushFile(f *os.File) error { return f.Sync() }
