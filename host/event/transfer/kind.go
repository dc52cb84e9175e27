package transfer

import (
	"encoding/binary"
	"fmt"
)

// Type is the type of a column.
type Type int

// The types of columns. A value of an Int is an int64, one of the others a []byte; Text is
// valid UTF-8 wherever it is no content of guests or publishers.
const (
	Int Type = iota
	Text
	Blob
)

// Column is a column of a kind.
type Column struct {
	Name string
	Type Type
}

// Kind is a kind of rows that engines store. The first Key columns identify a row, and rows
// are read and compared in their order: numbers ascending, text by its bytes.
type Kind struct {
	Name    string
	Columns []Column
	Key     int
}

// Row has the values of a kind's columns.
type Row []any

func integer(name string) Column { return Column{name, Int} }
func text(name string) Column    { return Column{name, Text} }
func blob(name string) Column    { return Column{name, Blob} }

// Kinds returns all kinds in the order in which they are copied. Times are unix nanoseconds,
// and 0 is none; fuel is the bits of a uint64. Numbers that engines compute from these rows,
// such as sizes, are not copied.
func Kinds() []*Kind {
	return []*Kind{
		{"head", []Column{text("store"), integer("last"), integer("trimmed")}, 1},
		{"events", []Column{integer("seq"), text("event_id"), text("idempotency_key"), text("type"), text("subject"),
			integer("appended_at"), text("envelope"), text("origin")}, 1},
		{"skipped", []Column{integer("seq"), integer("until"), integer("at")}, 1},
		{"cursors", []Column{text("name"), integer("seq")}, 1},
		{"deliveries", []Column{text("handler"), integer("seq"), text("status"), integer("attempts"), text("result"), text("error_class"),
			text("error_message"), integer("duration"), integer("fuel"), integer("at"), integer("due"), integer("first_at"),
			integer("purged"), text("digest")}, 2},
		{"outcome_blocks", []Column{text("handler"), integer("first_seq"), integer("last_seq"), integer("newest_at"),
			integer("outcomes"), blob("block")}, 2},
		{"attempts", []Column{integer("id"), text("handler"), integer("seq"), integer("number"), integer("at"), text("status"), text("class"),
			text("message"), integer("duration"), integer("fuel"), text("digest"), integer("instance"), integer("log_size"), text("logs")}, 1},
		{"replays", []Column{text("handler"), integer("from_seq"), integer("to_seq"), integer("resume"), integer("started_at")}, 1},
		{"released", []Column{integer("seq")}, 1},
		{"kv", []Column{text("plugin"), text("key"), blob("value"), integer("until")}, 2},
		{"scheduled", []Column{integer("id"), integer("due"), integer("accepted_at"), integer("cancelled_at"), text("event_id"),
			text("idempotency_key"), text("type"), text("subject"), text("envelope"), text("origin")}, 1},
		{"documents", []Column{text("kind"), text("id"), text("body")}, 2},
		{"orders", []Column{integer("position"), text("id"), text("customer_id"), text("currency"), text("items"), integer("total_cents"),
			text("status"), integer("version"), integer("created_at"), integer("updated_at")}, 1},
	}
}

// size returns about the bytes that a row has.
func (r Row) size() (n int) {
	for _, v := range r {
		n += 8
		if b, ok := v.([]byte); ok {
			n += len(b)
		}
	}
	return n
}

// Append appends the encoding of a row: no two rows of a kind have the same one.
func (r Row) Append(to []byte) []byte {
	for _, v := range r {
		switch v := v.(type) {
		case int64:
			to = binary.BigEndian.AppendUint64(to, uint64(v))
		case []byte:
			to = binary.AppendUvarint(to, uint64(len(v)))
			to = append(to, v...)
		default:
			panic(fmt.Sprintf("a %T is no value of a row", v)) // a defect of an engine
		}
	}
	return to
}

// decodeKey decodes the key of a row, which Append has encoded.
func (k *Kind) decodeKey(from []byte) (Row, error) {
	key := make(Row, 0, k.Key)
	for _, c := range k.Columns[:k.Key] {
		if c.Type == Int {
			if len(from) < 8 {
				return nil, fmt.Errorf("the position in %s is damaged", k.Name)
			}
			key, from = append(key, int64(binary.BigEndian.Uint64(from))), from[8:]
			continue
		}
		n, used := binary.Uvarint(from)
		if used <= 0 || n > uint64(len(from)-used) {
			return nil, fmt.Errorf("the position in %s is damaged", k.Name)
		}
		from = from[used:]
		key, from = append(key, from[:n:n]), from[n:]
	}
	if len(from) > 0 {
		return nil, fmt.Errorf("the position in %s is damaged", k.Name)
	}
	return key, nil
}

// Page collects rows until it is full: a source ends its page then.
type Page struct {
	Rows  []Row
	bytes int
}

// The bounds of a page.
const (
	MaxRows  = 2000
	maxBytes = 2 << 20
)

// Add adds a row, whose values the page owns then, and reports whether the page is full.
func (p *Page) Add(r Row) (full bool) {
	p.Rows, p.bytes = append(p.Rows, r), p.bytes+r.size()
	return len(p.Rows) >= MaxRows || p.bytes >= maxBytes
}
