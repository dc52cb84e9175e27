package host

import (
	"math"
	"os"
	"runtime/debug"

	"github.com/berth-host/berth/host/api/inflight"
	"github.com/berth-host/berth/host/doctor"
)

// availableMemory is what this process may have, in bytes: the machine's memory, or
// its cgroup's limit where that is lower; 0 when neither is known.
func availableMemory() int64 { return lowerLimit(machineMemory(), doctor.CgroupMemory()) }

func lowerLimit(machine int64, group uint64) int64 {
	if group > 0 && group <= math.MaxInt64 && (machine == 0 || int64(group) < machine) {
		return int64(group)
	}
	return machine
}

// LimitMemory has the garbage collector work harder before the memory that this
// process may have is used up. It changes the whole process, and nothing where
// GOMEMLIMIT is set or no limit is known.
func (h *Host) LimitMemory() {
	if n := availableMemory(); n > 0 && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(n / 10 * 9)
	}
}

// A byte of a request's body takes up to inflightCost bytes of memory: the body, its
// events apart, decoded and encoded, and what the garbage collector has not freed yet.
const (
	inflightCost    = 8
	inflightDefault = 128 << 20 // where the memory is not known
	inflightMax     = 1 << 30   // by default
)

// maxInflight is what requests under way may have together, in bytes.
func (h *Host) maxInflight() int64 {
	if configured := h.live.Started().Server.MaxInflight; configured > 0 {
		return configured
	}
	return inflightOf(availableMemory(), h.memoryTotal())
}

// inflightOf leaves half of the memory beside the handlers' for everything else. It
// answers whole MiB.
func inflightOf(available, handlers int64) int64 {
	if available <= 0 {
		return inflightDefault
	}
	const mebibyte = 1 << 20
	return max(inflight.MinBytes, min((available-handlers)/2/inflightCost/mebibyte*mebibyte, inflightMax))
}
