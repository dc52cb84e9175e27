//go:build !linux

package vet

import (
	"os"
	"syscall"
)

// weak says which of the limits this system does not hold; "" for none.
const weak = "the memory limit is not held, and the child outlives a host that is killed"

func program() (string, error) { return os.Executable() }

func ofParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func limitMemory(int64) error { return nil }

// resident is the most memory the child had resident, in bytes.
func resident(usage *syscall.Rusage) int64 { return usage.Maxrss }
