package config

import (
	"fmt"
	"strings"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/config/document"
	"github.com/berth-host/berth/host/spec"
)

// maxWeights bounds the values that a handler's fair_weights may name.
const maxWeights = 1000

// Batch is what the file sets about the batches of a handler. It lowers or disables what
// the manifest asks for.
type Batch struct {
	Off       bool           // one event at a time; the others are then zero
	MaxEvents int            // 0 where the file does not set it
	MaxWait   *time.Duration // nil where the file does not set it
}

// workTable are the settings of how a handler gets its events that only a handler has.
func workTable(h *Handler) table {
	return table{[]field{
		optional("state", wordKind(spec.StateDirect, spec.StateAtomic), &h.State,
			"When `kv` writes take effect: at once, or (`atomic`) in the transaction that stores the event's outcome, if it is a success. "+
				"Without it the manifest decides."),
		optional("batch", batchKind(), &h.Batch,
			"`off` for one event at a time, or bounds below those of the manifest's `batch`. A plugin gets batches only if its manifest asks "+
				"for them."),
		setting("fair_by", pointerKind(parseFairPointer), &h.Fair.By,
			"A JSON Pointer into the envelope, such as `/data/tenant`: the events that can start are taken in turn from each value there, so "+
				"that many events of one value do not delay those of the others. Events without a value share one. `\"\"`: no sharing.").unset(`""`),
		setting("fair_weights", weightsKind(), &h.Fair.Weights,
			"How many events a value of `fair_by` gets in each round, such as `{gold: 3}`; 1 for every other value.").unset("{}"),
		setting("shards", numberKind(1, spec.MaxShards), &h.Shards,
			"The parts of the handler's events that several hosts can handle at one time, each on one host. Events with one `order_by` value "+
				"are in one part. More than 1 needs `bus.engine: postgres`. A change takes effect once all hosts have it.").unset("0").zero("1"),
	}, []check{{"", func(_ document.Value, keys map[string]document.Value) {
		if at, found := keys["fair_weights"]; found && h.Fair.By == "" {
			at.Fail("has no effect without fair_by")
		}
	}}}}
}

// applyWork changes the settings of workTable that the file sets.
func (h Handler) applyWork(s *spec.Settings) {
	s.Fair = h.Fair
	s.Shards = max(s.Shards, h.Shards)
	if h.State != nil {
		s.State = *h.State
	}
	b := h.Batch
	if b == nil {
		return
	}
	if b.Off {
		s.Batch = spec.BatchPolicy{MaxEvents: min(1, s.Batch.MaxEvents)}
		return
	}
	if b.MaxEvents > 0 {
		s.Batch.MaxEvents = min(s.Batch.MaxEvents, b.MaxEvents)
	}
	if b.MaxWait != nil {
		s.Batch.MaxWait = min(s.Batch.MaxWait, *b.MaxWait)
	}
}

// shownBatch returns a batch policy as the file could hold it.
func shownBatch(b spec.BatchPolicy) *Batch {
	if !b.Enabled() {
		return &Batch{Off: true}
	}
	return &Batch{MaxEvents: b.MaxEvents, MaxWait: &b.MaxWait}
}

// Refusal is why a handler's settings do not fit the manifest of its plugin.
type Refusal struct {
	Handler string
	Key     string // of the setting
	Reason  string
}

// Error implements error.
func (r *Refusal) Error() string {
	return fmt.Sprintf("handlers.%s.%s: %s", r.Handler, r.Key, r.Reason)
}

// Check returns a *Refusal when the settings of a handler do not fit a manifest.
func (c *Config) Check(name string, m abi.Manifest) error {
	if b := c.Handlers[name].Batch; b != nil && !b.Off && b.MaxEvents != 1 && m.Batch == nil {
		return &Refusal{Handler: name, Key: "batch", Reason: "the plugin's manifest does not ask for batches, and the configuration can only " +
			"lower or disable them; remove this setting, or use a version of the plugin whose manifest has batch"}
	}
	return nil
}

func batchKind() kind[Batch] {
	read := func(v document.Value) (b Batch) {
		if v.Tag() == "!!map" {
			t := batchTable(&b)
			before := v.Problems()
			t.read(v)
			if b == (Batch{}) && v.Problems() == before {
				v.Fail("sets neither max_events nor max_wait; use off for one event at a time, or leave it out")
			}
			return b
		}
		if b.Off = v.Raw() == "off" && v.Tag() == "!!str"; !b.Off {
			v.Fail("must be off or bounds such as {max_events: 50, max_wait: 10ms}, not %s", v.Kind())
		}
		return b
	}
	text := func(b Batch) string {
		var parts []string
		for _, f := range batchTable(&b).fields {
			if s := f.state(); s.text != "" {
				parts = append(parts, f.path+": "+s.text)
			}
		}
		if b.Off {
			return "off"
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return kind[Batch]{read, text, func() about {
		bounds := object{"max_events": object{"type": "integer", "minimum": 1, "maximum": abi.MaxBatchEvents},
			"max_wait": object{"type": "string", "pattern": document.DurationPattern}}
		return about{label: fmt.Sprintf("off, or {max_events: 1 to %d, max_wait: 0s to %s}", abi.MaxBatchEvents, dayText(abi.MaxBatchWait)),
			schema: object{"anyOf": []object{{"enum": []string{"off"}},
				{"type": "object", "additionalProperties": false, "minProperties": 1, "properties": bounds}}}}
	}}
}

func batchTable(b *Batch) table {
	return table{fields: []field{
		setting("max_events", numberKind(1, abi.MaxBatchEvents), &b.MaxEvents, "The events of one call; 1: one at a time.").unset("0"),
		optional("max_wait", durationKind(0, abi.MaxBatchWait), &b.MaxWait, "For more events once there is one."),
	}}
}

// weightsKind is a mapping of texts to weights.
func weightsKind() kind[map[string]int] {
	read := func(v document.Value) map[string]int {
		weights := make(map[string]int)
		for _, e := range v.EntriesUpTo(maxWeights, "weights") {
			weights[e.Key] = int(e.Value.Integer(1, spec.MaxFairWeight))
		}
		return weights
	}
	text := func(weights map[string]int) string {
		if len(weights) == 0 {
			return "{}"
		}
		return jsonText(weights)
	}
	return kind[map[string]int]{read, text, func() about {
		return about{label: fmt.Sprintf("mapping of values to numbers, 1 to %d", spec.MaxFairWeight), schema: object{"type": "object",
			"maxProperties": maxWeights, "additionalProperties": object{"type": "integer", "minimum": 1, "maximum": spec.MaxFairWeight}}}
	}}
}
