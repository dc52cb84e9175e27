package attempts

import (
	"encoding/json"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/store/datafile"
	"github.com/berth-host/berth/host/store/outcomes"
)

// columns are the columns of the table; the first is the id.
const columns = `id, handler, seq, number, at, status, class, message, duration, fuel, digest, instance, log_size, logs`

const columnCount = 14

// Batch are the attempts of one write. Begin it with NewBatch.
type Batch struct {
	list []entry
	logs map[int]logs // of the delivery with this index
}

type entry struct {
	event.PastAttempt
	logs
}

// logs are the encoded lines of one attempt.
type logs struct {
	size int // as spec.MaxHandlerLog counts it
	text string
}

// NewBatch returns an empty batch for deliveries of which Add adds some. It encodes their
// logs, for which the writer goroutine has no time.
func NewBatch(deliveries []event.Delivery) (*Batch, error) {
	b := &Batch{}
	for i := range deliveries {
		lines, size := event.BoundedLogs(deliveries[i].Logs)
		if size == 0 {
			continue
		}
		text, err := json.Marshal(lines)
		if err != nil {
			return nil, err
		}
		if b.logs == nil {
			b.logs = make(map[int]logs)
		}
		b.logs[i] = logs{size, string(text)}
	}
	return b, nil
}

// Size returns the bytes of the logs.
func (b *Batch) Size() (bytes int) {
	for _, l := range b.logs {
		bytes += len(l.text)
	}
	return bytes
}

// Add adds the attempt of the delivery with an index, as it is stored now, if it is to be
// kept.
func (b *Batch) Add(index int, d *event.Delivery) {
	if a, kept := d.Past(); kept {
		a.Logs = nil
		b.list = append(b.list, entry{a, b.logs[index]})
	}
}

// values appends the values of columns.
func (e *entry) values(to []any, id int64) []any {
	return append(to, id, e.Handler, datafile.Seq(e.Seq), e.Number, outcomes.UnixNano(e.At), string(e.Status), string(e.Class), e.Message,
		int64(e.Duration), int64(e.Fuel), e.SHA256, e.Instance, e.size, e.text)
}

// decode returns the lines of an attempt.
func decode(text string) (lines []spec.GuestLine, err error) {
	if text == "" {
		return nil, nil
	}
	return lines, json.Unmarshal([]byte(text), &lines)
}

// Lines returns the lines of an entry's column logs and what its log_size has to be; -1
// when the text is damaged.
func Lines(text string) (lines []spec.GuestLine, size int) {
	lines, err := decode(text)
	if err != nil {
		return nil, -1
	}
	bounded, size := event.BoundedLogs(lines)
	if len(bounded) < len(lines) {
		return nil, -1
	}
	return lines, size
}
