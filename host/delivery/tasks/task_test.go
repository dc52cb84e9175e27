package tasks

import (
	"testing"
	"unsafe"
)

// TestTaskIsSmall: a busy handler touches many thousands of tasks, and one byte more takes
// the next size of memory.
func TestTaskIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(Task{}); n > 64 {
		t.Errorf("%d bytes, want at most 64: one cache line", n)
	}
}
