//go:build !linux

package fleet

import (
	"errors"
	"time"
)

// Quota limits the processor time of a process, on Linux only.
type Quota struct{}

var errNoQuota = errors.New("processor time can be limited on Linux only")

// NewQuota returns an error.
func NewQuota(string, float64) (*Quota, error) { return nil, errNoQuota }

// Add returns an error.
func (*Quota) Add(*Host) error { return errNoQuota }

// Close returns an error.
func (*Quota) Close() error { return errNoQuota }

// ProcessorTime returns an error.
func (*Host) ProcessorTime() (time.Duration, error) { return 0, errNoQuota }
