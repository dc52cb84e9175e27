package repair

import (
	"errors"
	"slices"
	"unicode/utf8"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/event/pack"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/store/attempts"
	"github.com/berth-host/berth/host/store/pages"
)

var (
	errShape   = errors.New("it does not have the columns of its table")
	errContent = errors.New("its values contradict each other")
)

// checks are the conditions that the entries of a table fulfil. A page has no checksum: a
// contradiction is how damage inside a page shows.
var checks = map[string]func(t *table, e pages.Entry) bool{
	"events": func(t *table, e pages.Entry) bool {
		ev, err := event.Parse(t.text(e, "envelope"))
		if err != nil || e.Key < 1 || t.integer(e, "appended_at") < 0 {
			return false
		}
		m, id := ev.Metadata(), t.text(e, "event_id")
		if id == "" { // it is the key then
			id = t.text(e, "idempotency_key")
		}
		return utf8.ValidString(ev.Envelope()) && id == m.EventID && t.text(e, "idempotency_key") == m.IdempotencyKey &&
			t.text(e, "type") == string(ev.Type()) && t.text(e, "subject") == m.Subject
	},
	"scheduled": func(t *table, e pages.Entry) bool {
		ev, err := event.Parse(t.text(e, "envelope"))
		if err != nil || e.Key < 1 || t.integer(e, "due") < 0 || t.integer(e, "accepted_at") < 0 || t.integer(e, "cancelled_at") < 0 {
			return false
		}
		m := ev.Metadata()
		return utf8.ValidString(ev.Envelope()) && t.text(e, "event_id") == m.EventID && t.text(e, "idempotency_key") == m.IdempotencyKey &&
			t.text(e, "type") == string(ev.Type()) && t.text(e, "subject") == m.Subject
	},
	"deliveries": func(t *table, e pages.Entry) bool {
		status := event.Status(t.text(e, "status"))
		return named(t.text(e, "handler")) && t.integer(e, "seq") > 0 && t.integer(e, "attempts") >= 0 &&
			slices.Contains([]event.Status{event.StatusPending, event.StatusDelivering, event.StatusRetrying, event.StatusOK, event.StatusDead}, status)
	},
	"cursors": func(t *table, e pages.Entry) bool { return named(t.text(e, "name")) && t.integer(e, "seq") >= 0 },
	"marks":   func(t *table, e pages.Entry) bool { return named(t.text(e, "name")) && t.integer(e, "seq") >= 0 },
	"kv": func(t *table, e pages.Entry) bool { // a guest chooses the bytes of a key
		value, _ := t.value(e, "value").([]byte)
		return named(t.text(e, "plugin")) && spec.CheckKV(t.text(e, "key"), value) == nil
	},
	"orders": func(t *table, e pages.Entry) bool { return named(t.text(e, "id")) && t.integer(e, "version") > 0 },
	"replays": func(t *table, e pages.Entry) bool {
		from := t.integer(e, "from_seq")
		return named(t.text(e, "handler")) && from > 0 && from <= t.integer(e, "to_seq")
	},
	"outcome_blocks": func(t *table, e pages.Entry) bool {
		content, _ := t.value(e, "block").([]byte)
		list, err := outcomesOf(content)
		return err == nil && named(t.text(e, "handler")) && list[0].Seq == uint64(t.integer(e, "first_seq")) &&
			list[len(list)-1].Seq == uint64(t.integer(e, "last_seq")) && int64(len(list)) == t.integer(e, "outcomes")
	},
	"attempts": func(t *table, e pages.Entry) bool { // the message is the guest's
		status := event.Status(t.text(e, "status"))
		lines, size := attempts.Lines(t.text(e, "logs"))
		return named(t.text(e, "handler")) && e.Key > 0 && t.integer(e, "seq") > 0 && t.integer(e, "number") > 0 &&
			slices.Contains([]event.Status{event.StatusRetrying, event.StatusOK, event.StatusDead}, status) &&
			int64(size) == t.integer(e, "log_size") && (size > 0) == (lines != nil)
	},
	"documents": func(t *table, e pages.Entry) bool {
		d := event.Document{Kind: t.text(e, "kind"), ID: t.text(e, "id"), Body: t.text(e, "body")}
		return named(d.Kind) && named(d.ID) && event.CheckDocument(d) == nil && utf8.ValidString(d.Body)
	},
	"skipped":  func(t *table, e pages.Entry) bool { return e.Key > 0 && e.Key <= t.integer(e, "until") },
	"identity": func(t *table, e pages.Entry) bool { return len(t.text(e, "store")) == 32 && named(t.text(e, "store")) },
}

// outcomesOf returns the outcomes of a block, of which there is one at least.
func outcomesOf(content []byte) ([]pack.Outcome, error) {
	block, err := pack.Open(content)
	if err != nil {
		return nil, err
	}
	return block.AppendTo(nil)
}

// named reports whether a text can be a name: not empty, UTF-8 and without NUL.
func named(text string) bool {
	return text != "" && utf8.ValidString(text) && !slices.Contains([]byte(text), 0)
}

// check returns why an entry is not one of a table.
func (t *table) check(e pages.Entry) error {
	if !t.has(e.Values) {
		return errShape
	}
	if condition := checks[t.name]; condition != nil && !condition(t, e) {
		return errContent
	}
	return nil
}
