//go:build !linux

package vet

import (
	"os"
	"syscall"
)

// weak names the limits that this system does not enforce; "" for none.
const weak = "the memory limit is not enforced, and the child outlives a killed host"

func program() (string, error) { return os.Executable() }

func ofParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func limitMemory(int64) error { return nil }

// resident returns the child's peak resident memory in bytes.
func resident(usage *syscall.Rusage) int64 { return usage.Maxrss }
