package fault_test

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"github.com/berth-host/berth/host/fault"
)

func TestDisk(t *testing.T) {
	path := func(errno syscall.Errno) error { return &fs.PathError{Op: "write", Path: "x", Err: errno} }
	for _, tt := range []struct {
		name   string
		err    error
		code   fault.Code
		reason string
	}{
		{"no blocks", path(syscall.ENOSPC), fault.Exhausted, "save it: the disk is full"},
		{"quota", path(syscall.EDQUOT), fault.Exhausted, "the disk is full"},
		{"file size limit", path(syscall.EFBIG), fault.Exhausted, "the disk is full"},
		{"joined", errors.Join(path(syscall.EIO), path(syscall.ENOSPC)), fault.Exhausted, "the disk is full"},
		{"wrapped", fmt.Errorf("sync: %w", path(syscall.EDQUOT)), fault.Exhausted, "the disk is full"},
		{"broken", path(syscall.EIO), fault.Unavailable, "save it: write x: input/output error"},
		{"read-only", path(syscall.EROFS), fault.Unavailable, "read-only file system"},
		{"coded already", fault.New(fault.Conflict, "changed: %w", path(syscall.ENOSPC)), fault.Conflict, "save it: changed"},
	} {
		got := fault.Disk("save it", tt.err)
		if !fault.Is(got, tt.code) || !errors.Is(got, tt.err) || !strings.Contains(got.Error(), tt.reason) {
			t.Errorf("%s: got %s %v, want %s with %q", tt.name, fault.CodeOf(got), got, tt.code, tt.reason)
		}
	}
	if err := fault.Disk("save it", nil); err != nil {
		t.Errorf("nil: got %v", err)
	}
	for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		if got := fault.CodeOf(fmt.Errorf("make a token: %w", path(errno))); got != fault.Exhausted {
			t.Errorf("%v without a code: got %s, want exhausted", errno, got)
		}
	}
}
