package host

import (
	"os"
	"runtime/debug"

	"github.com/berth-host/berth/host/api/inflight"
	"github.com/berth-host/berth/host/doctor"
)

// LimitMemory sets the memory limit of the garbage collector to 90 % of the available
// memory. It affects the whole process. It does nothing when GOMEMLIMIT is set or the
// available memory is unknown.
func (h *Host) LimitMemory() {
	if n := doctor.AvailableMemory(); n > 0 && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(n / 10 * 9)
	}
}

// A byte of a request's body uses up to inflightCost bytes of memory: the body, its
// events, decoded and encoded, and garbage not collected yet.
const (
	inflightCost    = 8
	inflightDefault = 128 << 20 // when the memory is unknown
	inflightMax     = 1 << 30   // by default
)

// memoryTotal returns the limit of the memory of all instances together, in bytes.
func (h *Host) memoryTotal() int64 { return h.live.Started().MemoryTotal(doctor.AvailableMemory()) }

// maxInflight returns the limit of all request bodies in progress, in bytes.
func (h *Host) maxInflight() int64 {
	if configured := h.live.Started().Server.MaxInflight; configured > 0 {
		return configured
	}
	return inflightOf(doctor.AvailableMemory(), h.memoryTotal())
}

// inflightOf returns the limit of request bodies in whole MiB: it leaves half of the
// memory without the handlers' for everything else.
func inflightOf(available, handlers int64) int64 {
	if available <= 0 {
		return inflightDefault
	}
	const mebibyte = 1 << 20
	return max(inflight.MinBytes, min((available-handlers)/2/inflightCost/mebibyte*mebibyte, inflightMax))
}
