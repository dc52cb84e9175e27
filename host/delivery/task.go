package delivery

import "github.com/berth-host/berth/host/event"

// task is one event on its way. It is settled when the cursor may pass it: its
// outcome, or its next attempt, is in the hands of the recorder.
type task struct {
	record     event.Record // without the event when it is final
	key        string
	lane       uint64         // the key's
	next       *task          // waits for this one, having the same key
	links      [2]link        // see index
	last       event.Delivery // as it would be shown and stored, but for the result
	result     []byte         // its memory is used again
	delivering bool           // it is an instance's
	hand       *Hand          // the instance's that holds it; nil if it was taken without one
	place      uint8          // in the hand
	settled    bool
	rowless    bool  // the store has no row of it
	users      uint8 // of these: the open tasks, the window, the outcomes
	index      int   // in the retry heap
}

const (
	// maxFree bounds the tasks that are kept to be used again.
	maxFree = maxWindow
	// maxKept bounds the memory of a result that is kept with them, in bytes.
	maxKept = 256
)

// shown is the delivery with its result.
func (t *task) shown() event.Delivery {
	d := t.last
	if len(t.result) > 0 {
		d.Result = string(t.result)
	}
	return d
}

// drop says that one of the task's users is done with it. The last one makes it
// free.
func (h *Handler) drop(t *task) {
	if t.users--; t.users == 0 {
		h.recycle(t)
	}
}

func (h *Handler) recycle(t *task) {
	if len(h.free) >= maxFree {
		return
	}
	result := t.result[:0]
	if cap(result) > maxKept {
		result = nil
	}
	*t = task{result: result}
	h.free = append(h.free, t)
}

// reuse appends up to n free tasks.
func (h *Handler) reuse(to []*task, n int) []*task {
	from := max(0, len(h.free)-n)
	to = append(to, h.free[from:]...)
	clear(h.free[from:])
	h.free = h.free[:from]
	return to
}
