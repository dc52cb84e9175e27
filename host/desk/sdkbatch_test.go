package desk_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/sandbox"
	"github.com/berth-host/berth/host/sandbox/vet"
	"github.com/berth-host/berth/host/spec"
)

// batchSource gives a pool of one instance whole batches.
type batchSource struct {
	batches chan []event.Attempt
	ended   chan []event.Outcome
}

// TryNext implements sandbox.Source.
func (s *batchSource) TryNext() (event.Attempt, bool) { return event.Attempt{}, false }

// Done implements sandbox.Source.
func (s *batchSource) Done(event.Attempt, event.Outcome) {}

// Demand implements sandbox.Source.
func (s *batchSource) Demand() <-chan struct{} { return nil }

// Lease implements sandbox.Source.
func (s *batchSource) Lease() sandbox.Lease { return batchLease{s} }

// batchLease is the lease of the instance.
type batchLease struct{ *batchSource }

// NextBuffered implements sandbox.Lease.
func (l batchLease) NextBuffered() (event.Taken, bool) { return event.Taken{}, false }

// Next implements sandbox.Lease.
func (l batchLease) Next(_, _ <-chan struct{}) (event.Taken, bool) { return event.Taken{}, false }

// Done implements sandbox.Lease.
func (l batchLease) Done(*event.Outcome) {}

// Flush implements sandbox.Lease.
func (l batchLease) Flush() {}

// Close implements sandbox.Lease.
func (l batchLease) Close() {}

// TraceParent implements sandbox.Lease.
func (l batchLease) TraceParent() string { return "" }

// NextBatch implements sandbox.BatchLease.
func (l batchLease) NextBatch(_ int, _ time.Duration, stop, _ <-chan struct{}) ([]event.Attempt, bool) {
	select {
	case list := <-l.batches:
		return list, true
	case <-stop:
		return nil, false
	}
}

// DoneBatch implements sandbox.BatchLease.
func (l batchLease) DoneBatch(outcomes []event.Outcome) {
	out := append([]event.Outcome(nil), outcomes...)
	for i := range out {
		out[i].Result = append([]byte(nil), out[i].Result...)
		out[i].Children = append([]*event.Event(nil), out[i].Children...)
	}
	l.ended <- out
}

// batchOf makes the attempts of a batch.
func batchOf(t *testing.T, data []string) []event.Attempt {
	t.Helper()
	var list []event.Attempt
	for i, d := range data {
		draft, err := event.ParseDraft(fmt.Appendf(nil, `{"event_type":"conform_event","data":%s}`, d))
		if err != nil {
			t.Fatal(err)
		}
		ev, err := event.New(draft)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, event.Attempt{Seq: uint64(i + 1), Event: ev, Number: 1})
	}
	return list
}

// TestSDKsWithBatches has the conformance handlers of all languages handle batches: each
// event has an outcome of its own, and the children of a failed event are dropped. With -short
// these are C and C++.
func TestSDKsWithBatches(t *testing.T) {
	languages := []string{"c", "cpp"}
	if !testing.Short() {
		languages = append(languages, "go", "assemblyscript", "java", "javascript", "python", "rust", "typescript", "zig")
	}
	for _, language := range languages {
		t.Run(language, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
			defer cancel()
			source := startBatches(ctx, t, conformanceHandler(ctx, t, language))
			for _, step := range batchSteps() {
				list := batchOf(t, step.data)
				source.batches <- list
				select {
				case outcomes := <-source.ended:
					checkBatch(t, list, outcomes, step.want)
				case <-ctx.Done():
					t.Fatal("the batch is not finished")
				}
			}
		})
	}
}

// conformanceHandler returns the conformance handler of a language. That in Go is built.
func conformanceHandler(ctx context.Context, t *testing.T, language string) []byte {
	t.Helper()
	if language != "go" {
		return read(t, "../../testdata/languages/"+language+"/conformance.wasm")
	}
	out := filepath.Join(t.TempDir(), "conformance.wasm")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-w", "-o", out, ".")
	cmd.Dir = "../../abi/go/conformance"
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=", "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the conformance handler: %v\n%s", err, text)
	}
	return read(t, out)
}

// startBatches starts a conformance handler whose configuration asks for batches.
func startBatches(ctx context.Context, t *testing.T, module []byte) *batchSource {
	t.Helper()
	engine, err := sandbox.New(sandbox.Config{Vetter: vet.InProcess{}})
	if err != nil {
		t.Fatal(err)
	}
	m, err := engine.Load(ctx, spec.NewArtifact(module), sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	source := &batchSource{batches: make(chan []event.Attempt), ended: make(chan []event.Outcome, 1)}
	pool, err := m.NewPool(ctx, sandbox.PoolConfig{
		Name: "conformance", Source: source, Settings: `{"batch":true}`,
		Limits:       spec.Limits{Timeout: time.Minute, Stack: 8 << 20, Concurrency: 1},
		Batch:        spec.BatchPolicy{MaxEvents: 100},
		Capabilities: sandbox.Capabilities{Emit: func(string) bool { return true }},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pool.Drain(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
		if err := m.Close(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
	})
	return source
}

// batchStep is a batch with the outcomes of its events: a result as JSON, the status and the
// reason of a failure, or "child" for an event with one.
type batchStep struct{ data, want []string }

func batchSteps() []batchStep {
	emit := `{"op":"emit","type":"conform_child","child":{"n":1},"after":60}`
	return []batchStep{
		{[]string{`{"op":"echo","value":{"a":1.0}}`, `{"op":"reject","reason":"größe 😀"}`, `{"op":"number","int":7,"bool":true}`,
			`{"op":"retry","reason":"two\nlines"}`, `{"op":"nope","text":"]},{\"\\"}`, `{"op":"field","pointer":"no slash"}`},
			[]string{`{"a":1.0}`, "reject größe 😀", `{"int":7,"bool":true}`, "retry two\nlines", "reject unknown op", `{"error":"INVALID"}`}},
		{[]string{`{"op":"size"}`}, []string{`{"size":1}`}},
		{[]string{`{"op":"size"}`, `{"op":"size"}`, `{"op":"field","pointer":"/data/x","x":"ä"}`}, []string{`{"size":3}`, `{"size":3}`, `{"value":"ä"}`}},
		{[]string{`{"op":"empty"}`, `{"op":"empty"}`}, []string{"null", "null"}},
		{[]string{emit, `{"op":"echo","value":2}`, emit}, []string{"child", "2", "child"}},
		{[]string{emit, `{"op":"fail_all","reason":"all of them"}`}, []string{"retry all of them", "retry all of them"}},
		{[]string{`{"op":"raw","text":"{"}`}, []string{"not ok"}},
		{[]string{`{"op":"reject","reason":"alone"}`}, []string{"reject alone"}},
	}
}

// checkBatch compares outcomes with what is wanted.
func checkBatch(t *testing.T, list []event.Attempt, outcomes []event.Outcome, want []string) {
	t.Helper()
	if len(outcomes) != len(want) {
		t.Fatalf("got %d outcomes, want %d", len(outcomes), len(want))
	}
	for i, o := range outcomes {
		got := string(o.Result)
		switch {
		case o.Verdict == event.OK && want[i] == "child" && len(o.Children) == 1:
			m := o.Children[0].Metadata()
			if m.CausationID != list[i].Event.ID() {
				t.Errorf("event %d: the child's parent is %s, want %s", i, m.CausationID, list[i].Event.ID())
			}
			continue
		case o.Verdict == event.Retry:
			got = "retry " + o.Message
		case o.Verdict == event.Reject:
			got = "reject " + o.Message
		case o.Verdict != event.OK:
			got = fmt.Sprintf("%v %s", o.Class, o.Message)
		case got == "":
			got = "null"
		}
		if want[i] == "not ok" && o.Verdict != event.OK {
			continue
		}
		if !sameJSON(got, want[i]) || len(o.Children) > 0 {
			t.Errorf("event %d: got %q with %d children, want %q", i, got, len(o.Children), want[i])
		}
	}
}
