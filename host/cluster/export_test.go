package cluster

import (
	"time"

	"github.com/berth-host/berth/host/spec"
)

// Assign is the assignment of units to live members.
func Assign(hosts []spec.Member, owners map[string]string) map[string]string {
	return assign(hosts, owners)
}

// ValidAt is Valid at a time of the host's clock.
func (t *Tenure) ValidAt(now time.Duration) bool { return t.validAt(now) }

// BootTime is the clock of the machine.
func BootTime() time.Duration { return bootTime() }

// FailureText is how an error crosses hosts, and ReadFailure what arrives.
func FailureText(err error) string  { return encodeFailure(err) }
func ReadFailure(text string) error { return decodeFailure(text) }
