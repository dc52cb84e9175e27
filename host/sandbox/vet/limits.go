package vet

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"
)

// limitProcess sets the request's limits for this process. They cannot be raised again.
func limitProcess(req request) error {
	if req.Memory <= 0 || req.CPU <= 0 {
		return fmt.Errorf("%d bytes and %v are no limits", req.Memory, req.CPU)
	}
	// At the soft limit the process gets a signal and exits with a code that names the
	// reason; at the hard limit, one second later, the kernel kills it.
	over := make(chan os.Signal, 1)
	signal.Notify(over, unix.SIGXCPU)
	go func() {
		<-over
		os.Exit(exitCPU)
	}()
	cpu := uint64(wholeSeconds(req.CPU) / time.Second)
	if err := unix.Setrlimit(unix.RLIMIT_CPU, &unix.Rlimit{Cur: cpu, Max: cpu + 1}); err != nil {
		return fmt.Errorf("CPU time: %w", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("core files: %w", err)
	}
	if err := limitMemory(req.Memory); err != nil {
		return fmt.Errorf("memory: %w", err)
	}
	// The process group contains all threads. A parent with a lower priority than the
	// requested one is acceptable.
	if err := unix.Setpriority(unix.PRIO_PGRP, 0, req.Nice); err != nil && !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.EPERM) {
		return fmt.Errorf("priority: %w", err)
	}
	return nil
}
