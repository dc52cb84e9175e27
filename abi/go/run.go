package berth

import (
	"errors"

	"github.com/berth-host/berth/abi/go/internal/wire"
)

// Handler handles one event. The event, and byte slices that its methods return, are
// valid until the handler returns.
type Handler func(*Event) (Result, error)

// Statuses of the ABI's finish.
const (
	statusOK     = 0
	statusRetry  = 1
	statusReject = 2
)

// Run calls handle for each event, and returns when the host ends the instance: main
// should return then. It panics when the host fails.
func Run(handle Handler) {
	ev := &Event{envelope: make([]byte, 4096), field: make([]byte, 256)}
	for ev.next() {
		if isBatch(ev.Raw()) {
			panic("berth: the manifest asks for batches, which Run does not handle: use RunBatch")
		}
		result, err := handle(ev)
		finish(result, err, Reject)
	}
}

// finish closes the open event. If the host refuses the result, the event fails with the
// error that refused makes of the reason.
func finish(result Result, err error, refused func(reason string) error) {
	if err == nil {
		err = result.err
	}
	if err == nil {
		code := wire.Finish(statusOK, result.json)
		if code >= 0 {
			return
		}
		err = refused("the host refused the result: " + callError("finish", code).Error())
	}
	status := int32(statusRetry)
	var rejected *RejectError
	if errors.As(err, &rejected) {
		status = statusReject
	}
	if code := wire.Finish(status, err.Error()); code < 0 {
		panic(callError("finish", code).Error())
	}
}

// Result is the result of a handled event. The zero Result is empty.
type Result struct {
	json string
	err  error
}

// OK is the empty result.
func OK() Result { return Result{} }

// RawJSON is a result that is JSON text already, of at most 64 KiB. It is not
// checked here: if it is not JSON, the host refuses it and the event is rejected.
func RawJSON(text string) Result { return Result{json: text} }

// Text returns the result as JSON text, "" when it is empty, or the error of encoding
// it.
func (r Result) Text() (string, error) { return r.json, r.err }
