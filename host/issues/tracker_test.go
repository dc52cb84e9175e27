package issues

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a store of documents. err, when set, is what a write answers.
type memory struct {
	mu     sync.Mutex
	docs   map[string]event.Document
	writes int
	err    error
}

func newMemory() *memory { return &memory{docs: make(map[string]event.Document)} }

func (m *memory) PutDocuments(_ context.Context, list []event.Document) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return m.err
	}
	m.writes++
	for _, d := range list {
		if len(d.Body) > event.MaxDocument {
			return fault.New(fault.Invalid, "the document %s has %d bytes", d.ID, len(d.Body))
		}
		if d.Body == "" {
			delete(m.docs, d.ID)
			continue
		}
		m.docs[d.ID] = d
	}
	return nil
}

func (m *memory) Documents(_ context.Context, kind string) ([]event.Document, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []event.Document
	for _, d := range m.docs {
		if d.Kind == kind {
			list = append(list, d)
		}
	}
	slices.SortFunc(list, func(a, b event.Document) int { return cmp.Compare(a.ID, b.ID) })
	return list, nil
}

func (m *memory) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

var digits = regexp.MustCompile(`[0-9]+`)

// bundle is a tracker with a clock of its own. The frame of a failure is what follows "at ".
type bundle struct {
	*Tracker
	t     testing.TB
	store *memory
	log   strings.Builder
	now   time.Time
	seq   uint64
	event *event.Event

	shared bool // see Config.Shared
}

func setup(t testing.TB) *bundle {
	ev, err := event.New(event.Draft{Type: "order_placed", Subject: "A-1"})
	if err != nil {
		t.Fatal(err)
	}
	b := &bundle{t: t, store: newMemory(), now: time.Date(2026, 5, 1, 10, 0, 0, 123, time.UTC), event: ev}
	b.start()
	return b
}

// start opens a tracker with the documents of the store, as a restart does.
func (b *bundle) start() {
	tracker, err := Open(context.Background(), Config{Store: b.store, Shared: b.shared,
		Normalise: func(headline string) string { return digits.ReplaceAllString(headline, "#") },
		Top: func(message string) *spec.Frame {
			_, at, found := strings.Cut(message, "\nat ")
			if !found {
				return nil
			}
			return &spec.Frame{Function: at, File: "src/" + at + ".go", Line: 7}
		},
		Logger: slog.New(slog.NewTextHandler(&b.log, nil)), Now: func() time.Time { return b.now }})
	if err != nil {
		b.t.Fatal(err)
	}
	b.Tracker = tracker
}

// fail has a handler fail. A second passes.
func (b *bundle) failure(handler string, class event.Class, message, key string) {
	b.now = b.now.Add(time.Second)
	b.seq++
	b.Failed(event.Record{Seq: b.seq, Event: b.event}, event.Delivery{Handler: handler, Seq: b.seq, Status: event.StatusRetrying,
		Attempts: 1, ErrorClass: class, ErrorMessage: message, At: b.now, SHA256: strings.Repeat("ab", 32)}, key, "1.0.0")
}

func (b *bundle) list(q spec.IssueQuery) []wire.Issue {
	page, err := b.List(q)
	if err != nil {
		b.t.Fatal(err)
	}
	return page.Items
}

func (b *bundle) only() wire.Issue {
	b.t.Helper()
	list := b.list(spec.IssueQuery{})
	if len(list) != 1 {
		b.t.Fatalf("there are %d issues, want 1: %+v", len(list), list)
	}
	one, err := b.Show(list[0].ID)
	if err != nil {
		b.t.Fatal(err)
	}
	return one
}

func (b *bundle) change(id string, to wire.IssueState, note string) wire.Issue {
	b.t.Helper()
	i, err := b.Change(context.Background(), id, to, "ada", note)
	if err != nil {
		b.t.Fatal(err)
	}
	return i
}

func TestFailuresOfOneCauseAreOneIssue(t *testing.T) {
	b := setup(t)
	first := b.now.Add(time.Second)
	for i := range 30 {
		b.failure("pricing", event.ClassTrap, fmt.Sprintf("no price of item %d\nat price", i), fmt.Sprintf("C-%d", i%25))
	}
	i := b.only()
	if i.ID != "1" || i.Handler != "pricing" || i.Class != "trap" || i.Message != "no price of item 0" || i.State != wire.IssueOpen {
		t.Errorf("got %+v", i)
	}
	if i.Frame == nil || i.Frame.Function != "price" || i.Frame.Line != 7 {
		t.Errorf("frame %+v", i.Frame)
	}
	if i.Count != 30 || !i.FirstSeen.Equal(first) || !i.LastSeen.Equal(b.now) || i.SampleEventID != b.event.ID() {
		t.Errorf("count %d, first %s, last %s", i.Count, i.FirstSeen, i.LastSeen)
	}
	if i.KeyCount != 25 || len(i.Keys) != 20 || i.Keys[0] != "C-4" || i.Keys[5] != "C-24" {
		t.Errorf("%d keys: %v", i.KeyCount, i.Keys)
	}
	if !slices.Equal(i.Versions, []string{"1.0.0"}) {
		t.Errorf("versions %v", i.Versions)
	}
	if len(i.Latest) != 20 || !i.Latest[0].At.Equal(b.now) || !i.Latest[19].At.Equal(b.now.Add(-19*time.Second)) || i.Latest[0].Key != "C-4" {
		t.Errorf("latest %+v", i.Latest)
	}
	if len(i.Minutes) != 60 || i.Minutes[59] != 30 {
		t.Errorf("minutes %v", i.Minutes)
	}
}

func TestWhatSeparatesIssues(t *testing.T) {
	b := setup(t)
	b.failure("a", event.ClassTrap, "boom", "")
	for _, other := range []func(){
		func() { b.failure("b", event.ClassTrap, "boom", "") },
		func() { b.failure("a", event.ClassExit, "boom", "") },
		func() { b.failure("a", event.ClassTrap, "bang", "") },
		func() { b.failure("a", event.ClassTrap, "boom\nat main", "") },
	} {
		before := len(b.list(spec.IssueQuery{}))
		other()
		if after := len(b.list(spec.IssueQuery{})); after != before+1 {
			t.Errorf("there are %d issues after it, want %d", after, before+1)
		}
	}
	b.failure("a", event.ClassTrap, "boom\nthis text of the guest differs", "")
	if n := len(b.list(spec.IssueQuery{})); n != 5 {
		t.Errorf("%d issues", n)
	}
}

func TestCancelledAndSkippedAreNoFailures(t *testing.T) {
	b := setup(t)
	b.failure("a", event.ClassCancelled, "the host stops", "")
	b.failure("a", event.ClassSkipped, "skipped by ada", "")
	b.failure("a", "", "", "")
	if list := b.list(spec.IssueQuery{}); len(list) != 0 {
		t.Errorf("got %+v", list)
	}
}

func TestStates(t *testing.T) {
	const open, acknowledged, resolved, ignored = wire.IssueOpen, wire.IssueAcknowledged, wire.IssueResolved, wire.IssueIgnored
	for _, tt := range []struct {
		from, to wire.IssueState
		refused  bool
		after    wire.IssueState // a failure
	}{
		{open, open, false, open}, {open, acknowledged, false, acknowledged}, {open, resolved, false, open}, {open, ignored, false, ignored},
		{acknowledged, open, false, open}, {acknowledged, resolved, false, open}, {acknowledged, ignored, false, ignored},
		{resolved, open, false, open}, {resolved, acknowledged, true, open}, {resolved, resolved, false, open}, {resolved, ignored, false, ignored},
		{ignored, open, false, open}, {ignored, acknowledged, true, ignored}, {ignored, resolved, false, open},
	} {
		t.Run(string(tt.from)+" to "+string(tt.to), func(t *testing.T) {
			b := setup(t)
			b.failure("a", event.ClassTrap, "boom", "")
			if tt.from != open {
				b.change("1", tt.from, "")
			}
			i, err := b.Change(t.Context(), "1", tt.to, "ada", "why")
			if tt.refused != fault.Is(err, fault.Conflict) || !tt.refused && (err != nil || i.State != tt.to || i.StateBy != "ada" || i.Note != "why") {
				t.Errorf("got %+v, %v", i, err)
			}
			b.start() // the change was stored
			before := b.only()
			b.failure("a", event.ClassTrap, "boom", "")
			after := b.only()
			reopened := before.State == resolved
			if after.State != tt.after || (after.Reopened == 1) != reopened || after.Count != before.Count+1 {
				t.Errorf("after a failure: %+v", after)
			}
			if said := strings.Count(b.log.String(), `level=WARN msg="issue reopened`); (said == 1) != reopened {
				t.Errorf("log: %s", &b.log)
			}
			if reopened && (after.StateBy != "" || after.Note != "it failed again in version 1.0.0" || !strings.Contains(b.log.String(), "resolved_by=ada")) {
				t.Errorf("%+v\n%s", after, &b.log)
			}
		})
	}
}

func TestChangeKeepsItsNote(t *testing.T) {
	b := setup(t)
	b.failure("a", event.ClassTrap, "boom", "")
	b.change("1", wire.IssueAcknowledged, "it is the new tariff")
	if i := b.change("1", wire.IssueAcknowledged, ""); i.Note != "it is the new tariff" {
		t.Errorf("note %q", i.Note)
	}
	if i := b.change("1", wire.IssueResolved, ""); i.Note != "" {
		t.Errorf("the note of another state is %q", i.Note)
	}
	if _, err := b.Change(t.Context(), "1", wire.IssueOpen, "ada", strings.Repeat("ü", MaxNote+1)); !fault.Is(err, fault.Invalid) {
		t.Errorf("a note too long: %v", err)
	}
	for _, id := range []string{"", "2", "01", "+1", "x", "18446744073709551616"} {
		if _, err := b.Change(t.Context(), id, wire.IssueResolved, "ada", ""); !fault.Is(err, fault.NotFound) {
			t.Errorf("%q: %v", id, err)
		}
		if _, err := b.Show(id); !fault.Is(err, fault.NotFound) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func TestRefusedWriteChangesNothing(t *testing.T) {
	b := setup(t)
	b.failure("a", event.ClassTrap, "boom", "")
	b.store.fail(fault.New(fault.Exhausted, "the disk is full"))
	if _, err := b.Change(t.Context(), "1", wire.IssueResolved, "ada", ""); !fault.Is(err, fault.Exhausted) {
		t.Fatalf("got %v", err)
	}
	if i := b.only(); i.State != wire.IssueOpen || i.StateBy != "" {
		t.Errorf("got %+v", i)
	}
	if _, err := b.flush(t.Context()); !fault.Is(err, fault.Exhausted) {
		t.Errorf("flush: %v", err)
	}
	b.failure("a", event.ClassTrap, "boom", "") // counted all the same
	b.store.fail(nil)
	if err := b.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.start()
	if i := b.only(); i.Count != 2 {
		t.Errorf("count %d after a restart, want 2", i.Count)
	}
}

func TestRestartKeepsIssues(t *testing.T) {
	b := setup(t)
	for i := range 45 {
		b.failure("a", event.ClassTrap, fmt.Sprintf("boom %d\nat main", i), fmt.Sprint("K", i))
		if i%10 == 0 {
			b.now = b.now.Add(7 * time.Minute)
		}
	}
	b.failure("b", event.ClassTimeout, "took longer than 5s", "")
	b.change("2", wire.IssueIgnored, "known")
	var before []wire.Issue
	for _, i := range b.list(spec.IssueQuery{}) {
		one, err := b.Show(i.ID)
		if err != nil {
			t.Fatal(err)
		}
		before = append(before, one)
	}
	if err := b.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	writes := b.store.writes
	if err := b.Close(t.Context()); err != nil || b.store.writes != writes {
		t.Errorf("nothing has changed: %d writes, %v", b.store.writes-writes, err)
	}
	b.start()
	for _, want := range before {
		got, err := b.Show(want.ID)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got\n%+v, %v\nwant\n%+v", got, err, want)
		}
	}
	b.failure("a", event.ClassTrap, "boom 99\nat main", "K3") // known before
	if i, _ := b.Show("1"); i.Count != 46 || i.KeyCount != 45 || i.Keys[0] != "K3" {
		t.Errorf("got %+v", i)
	}
	b.failure("c", event.ClassTrap, "new", "")
	if i, err := b.Show("3"); err != nil || i.Handler != "c" {
		t.Errorf("the next id: %+v, %v", i, err)
	}
}

func TestIDsAreNotGivenTwice(t *testing.T) {
	b := setup(t)
	b.failure("a", event.ClassTrap, "one", "")
	b.failure("b", event.ClassTrap, "two", "")
	if err := b.Forget(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Show("2"); !fault.Is(err, fault.NotFound) {
		t.Errorf("an issue of a forgotten handler: %v", err)
	}
	b.start()
	if list := b.list(spec.IssueQuery{}); len(list) != 1 || list[0].Handler != "a" {
		t.Errorf("after a restart: %+v", list)
	}
	b.failure("b", event.ClassTrap, "two", "")
	if _, err := b.Show("3"); err != nil {
		t.Error(err)
	}
}

func TestUnreadableDocumentIsSkipped(t *testing.T) {
	b := setup(t)
	b.failure("a", event.ClassTrap, "one", "")
	if err := b.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for id, body := range map[string]string{"7": "{", "8": `{"id":"8"}`, "x": `null`, "9": `{"id":"09","handler":"a","state":"open"}`,
		"10": `{"id":"10","handler":"a","state":"lost"}`} {
		b.store.docs[id] = event.Document{Kind: kind, ID: id, Body: body}
	}
	b.start()
	if i := b.only(); i.ID != "1" {
		t.Errorf("got %+v", i)
	}
	if n := strings.Count(b.log.String(), "level=WARN"); n != 5 {
		t.Errorf("%d warnings:\n%s", n, &b.log)
	}
	b.failure("a", event.ClassTrap, "two", "")
	if _, err := b.Show("11"); err != nil {
		t.Error(err)
	}
}

// Each letter is escaped as six: a document would be too long.
func TestDocumentIsBounded(t *testing.T) {
	b := setup(t)
	long := strings.Repeat("\x01", 1000)
	for i := range 60 {
		b.Failed(event.Record{Seq: 1, Event: b.event}, event.Delivery{Handler: "a", Status: event.StatusDead, Attempts: i, ErrorClass: event.ClassTrap,
			ErrorMessage: "boom " + long, At: b.now, Logs: []spec.GuestLine{{Message: "first"}, {Message: long}}}, fmt.Sprint(i, long), "")
	}
	i := b.only()
	if i.Dead != 60 || len(i.Message) > maxMessage+3 || len(i.Latest[0].Log) > maxLine+3 || len(i.Keys[0]) > maxKey+3 {
		t.Errorf("dead %d, message of %d bytes", i.Dead, len(i.Message))
	}
	if err := b.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.start()
	if i := b.only(); i.Count != 60 || len(i.Latest) == 0 {
		t.Errorf("count %d, %d latest", i.Count, len(i.Latest))
	}
}

func TestPagesOfAList(t *testing.T) {
	b := setup(t)
	for i := range 25 {
		b.failure(fmt.Sprint("h", i%5), event.ClassTrap, "boom"+strings.Repeat("x", i), "")
	}
	same := b.now
	for i := range 5 { // at the same moment
		b.now = same.Add(-time.Second)
		b.failure("same", event.ClassExit, "boom"+strings.Repeat("x", i), "")
	}
	var ids []string
	var last time.Time
	for cursor := ""; ; {
		page, err := b.List(spec.IssueQuery{Limit: 4, Cursor: cursor})
		if err != nil || len(page.Items) > 4 || len(page.Items) == 0 {
			t.Fatalf("got %d, %v", len(page.Items), err)
		}
		for _, i := range page.Items {
			if len(ids) > 0 && i.LastSeen.After(last) {
				t.Errorf("%s follows %s", i.LastSeen, last)
			}
			last = i.LastSeen
			ids = append(ids, i.ID)
		}
		if page.Next == nil {
			break
		}
		cursor = *page.Next
	}
	if slices.Sort(ids); len(slices.Compact(ids)) != 30 {
		t.Errorf("%d issues: %v", len(ids), ids)
	}
	if n := len(b.list(spec.IssueQuery{Handler: "h1"})); n != 5 {
		t.Errorf("%d of h1", n)
	}
	if n := len(b.list(spec.IssueQuery{Class: "exit"})); n != 5 {
		t.Errorf("%d of class exit", n)
	}
	if n := len(b.list(spec.IssueQuery{Version: "1.0.0"})); n != 30 {
		t.Errorf("%d of version 1.0.0", n)
	}
	if n := len(b.list(spec.IssueQuery{Version: "2.0.0"})); n != 0 {
		t.Errorf("%d of version 2.0.0", n)
	}
	if n := len(b.list(spec.IssueQuery{States: []string{string(wire.IssueResolved)}})); n != 0 {
		t.Errorf("%d resolved", n)
	}
	for _, cursor := range []string{"x", "1", "1.", ".1", "1.01", "+1.1", "1.1.1"} {
		if _, err := b.List(spec.IssueQuery{Cursor: cursor}); !fault.Is(err, fault.Invalid) {
			t.Errorf("cursor %q: %v", cursor, err)
		}
	}
}

func TestVersionsKeepFirstAndLatest(t *testing.T) {
	b := setup(t)
	for i := range 12 {
		b.Failed(event.Record{Seq: 1, Event: b.event}, event.Delivery{Handler: "a", ErrorClass: event.ClassTrap, ErrorMessage: "boom", At: b.now,
			SHA256: strings.Repeat(fmt.Sprintf("%02x", i), 32)}, "", fmt.Sprintf("1.%d.0", i))
	}
	b.Failed(event.Record{Seq: 1, Event: b.event}, event.Delivery{Handler: "a", ErrorClass: event.ClassTrap, ErrorMessage: "boom", At: b.now,
		SHA256: strings.Repeat("ef", 32)}, "", "")
	want := []string{"1.0.0", "1.6.0", "1.7.0", "1.8.0", "1.9.0", "1.10.0", "1.11.0", "efefefefefef"}
	if got := b.only().Versions; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestMinutesMoveOn(t *testing.T) {
	b := setup(t)
	b.failure("a", event.ClassTrap, "boom", "")
	b.now = b.now.Add(10 * time.Minute)
	b.failure("a", event.ClassTrap, "boom", "")
	b.failure("a", event.ClassTrap, "boom", "")
	minutes := b.only().Minutes
	if minutes[59] != 2 || minutes[49] != 1 {
		t.Errorf("got %v", minutes)
	}
	b.now = b.now.Add(-5 * time.Minute) // an outcome that is recorded late
	b.failure("a", event.ClassTrap, "boom", "")
	b.now = b.now.Add(54 * time.Minute)
	if minutes = b.only().Minutes; minutes[0] != 1 || minutes[5] != 1 || minutes[10] != 2 || minutes[59] != 0 {
		t.Errorf("got %v", minutes)
	}
	b.now = b.now.Add(2 * time.Hour)
	if minutes = b.only().Minutes; slices.Max(minutes) != 0 {
		t.Errorf("got %v", minutes)
	}
	b.failure("a", event.ClassTrap, "boom", "")
	if minutes = b.only().Minutes; minutes[59] != 1 {
		t.Errorf("got %v", minutes)
	}
}

func TestIssueOfFailure(t *testing.T) {
	b := setup(t)
	b.failure("a", event.ClassTrap, "boom 1\nat main", "")
	for _, tt := range []struct {
		handler string
		class   event.Class
		message string
		want    string
	}{
		{"a", event.ClassTrap, "boom 2\nat main", "1"}, {"a", event.ClassTrap, "boom 1\nat main", "1"},
		{"a", event.ClassTrap, "boom 2", ""}, {"b", event.ClassTrap, "boom 2\nat main", ""}, {"a", event.ClassExit, "boom 2\nat main", ""},
	} {
		if got := b.IssueOf(tt.handler, tt.class, tt.message); got != tt.want {
			t.Errorf("%+v: got %q", tt, got)
		}
	}
}

// TestConcurrentUse has all methods run at once, for the race detector, and checks the sum.
func TestConcurrentUse(t *testing.T) {
	b := setup(t)
	ctx, cancel := context.WithCancel(t.Context())
	var running, failing sync.WaitGroup
	running.Go(func() { b.Run(ctx) })
	for w := range 4 {
		failing.Go(func() {
			for i := range 1000 {
				b.Failed(event.Record{Seq: 1, Event: b.event}, event.Delivery{Handler: fmt.Sprint("h", w%2), ErrorClass: event.ClassTrap,
					ErrorMessage: "boom" + strings.Repeat("x", i%50), At: b.now}, fmt.Sprint(i), "1")
			}
		})
	}
	running.Go(func() {
		for ctx.Err() == nil {
			for _, i := range b.list(spec.IssueQuery{Limit: 10}) {
				_, _ = b.Change(ctx, i.ID, wire.IssueResolved, "ada", "")
				_, _ = b.Show(i.ID)
				_ = b.IssueOf(i.Handler, event.Class(i.Class), i.Message)
			}
			_ = b.Active()
		}
	})
	failing.Wait()
	cancel()
	running.Wait()
	if err := b.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.start()
	var sum uint64
	for _, i := range b.list(spec.IssueQuery{}) {
		sum += i.Count
	}
	if sum != 4000 {
		t.Errorf("%d failures are counted, want 4000", sum)
	}
}

func TestFailedWritesAreReportedOnce(t *testing.T) {
	b := setup(t)
	b.report(errors.New("no disk"))
	b.report(errors.New("no disk"))
	b.report(nil)
	b.report(nil)
	if said := b.log.String(); strings.Count(said, "level=WARN") != 1 || strings.Count(said, "stored again") != 1 {
		t.Errorf("log:\n%s", said)
	}
}

// FuzzRestore checks that no document makes a tracker fail, and that what is restored is
// stored alike.
func FuzzRestore(f *testing.F) {
	b := setup(f)
	b.failure("a", event.ClassTrap, "boom\nat main", "K")
	f.Add(b.groups[fingerprint{"a", event.ClassTrap, "boom", "main"}].snapshot().document().Body)
	f.Add(`{"id":"1","handler":"a","state":"resolved","minutes":[],"latest":[{}],"hashes":"AAAA","minute":-9223372036854775808}`)
	f.Fuzz(func(t *testing.T, body string) {
		g, err := restore(body)
		if err != nil {
			return
		}
		first := g.snapshot().document()
		again, err := restore(first.Body)
		if err != nil {
			t.Fatalf("%s: %v", first.Body, err)
		}
		if second := again.snapshot().document(); second != first {
			t.Errorf("got  %s\nwant %s", second.Body, first.Body)
		}
	})
}

// TestModel compares a tracker that crashes and restarts with a plain model.
func TestModel(t *testing.T) {
	type want struct {
		state wire.IssueState
		count uint64
	}
	rapid.Check(t, func(rt *rapid.T) {
		b := setup(t)
		model, stored := map[string]want{}, map[string]want{} // by handler and message
		key := func(handler, message string) string { return handler + " " + message }
		handlers, messages := rapid.SampledFrom([]string{"a", "b"}), rapid.SampledFrom([]string{"boom", "bang", "bad"})
		id := func(handler, message string) string { return b.IssueOf(handler, event.ClassTrap, message) }
		rt.Repeat(map[string]func(*rapid.T){
			"fail": func(rt *rapid.T) {
				h, m := handlers.Draw(rt, "handler"), messages.Draw(rt, "message")
				b.failure(h, event.ClassTrap, m, "")
				w, known := model[key(h, m)]
				if !known || w.state == wire.IssueResolved {
					w.state = wire.IssueOpen
				}
				w.count++
				model[key(h, m)] = w
			},
			"change": func(rt *rapid.T) {
				h, m := handlers.Draw(rt, "handler"), messages.Draw(rt, "message")
				to := rapid.SampledFrom([]wire.IssueState{wire.IssueOpen, wire.IssueAcknowledged, wire.IssueResolved, wire.IssueIgnored}).Draw(rt, "to")
				w, known := model[key(h, m)]
				_, err := b.Change(t.Context(), id(h, m), to, "ada", "")
				ended := w.state == wire.IssueResolved || w.state == wire.IssueIgnored
				if refused := !known || ended && to == wire.IssueAcknowledged; refused != (err != nil) {
					rt.Fatalf("%s from %q to %s: %v", key(h, m), w.state, to, err)
				}
				if err == nil {
					w.state = to
					model[key(h, m)] = w
					stored[key(h, m)] = w
				}
			},
			"store": func(rt *rapid.T) {
				if err := b.Close(t.Context()); err != nil {
					rt.Fatal(err)
				}
				stored = maps.Clone(model)
			},
			"forget": func(rt *rapid.T) {
				h := handlers.Draw(rt, "handler")
				if err := b.Forget(t.Context(), h); err != nil {
					rt.Fatal(err)
				}
				gone := func(k string, _ want) bool { return strings.HasPrefix(k, h+" ") }
				maps.DeleteFunc(model, gone)
				stored = maps.Clone(model) // all is stored with it
			},
			"crash": func(*rapid.T) {
				b.start()
				model = maps.Clone(stored)
			},
			"": func(rt *rapid.T) {
				got := map[string]want{}
				active := 0
				for _, i := range b.list(spec.IssueQuery{}) {
					got[key(i.Handler, i.Message)] = want{i.State, i.Count}
					if i.State == wire.IssueOpen || i.State == wire.IssueAcknowledged {
						active++
					}
				}
				if !maps.Equal(got, model) {
					rt.Fatalf("got %v, want %v", got, model)
				}
				sum := 0
				for _, n := range b.Active() {
					sum += n
				}
				if sum != active || b.nActive != active {
					rt.Fatalf("%d are active, and counted as %d", active, sum)
				}
			},
		})
	})
}

func TestSnapshotIsValidJSON(t *testing.T) {
	b := setup(t)
	b.failure("a", event.ClassTrap, "boom \xff", "\xfe")
	body := b.groups[fingerprint{"a", event.ClassTrap, "boom \xff", ""}].snapshot().document().Body
	if !json.Valid([]byte(body)) {
		t.Errorf("got %s", body)
	}
}

// TestLogBeforeError: the line of a failure is the last one before the error and the stack,
// which the runtime of a language prints.
func TestLogBeforeError(t *testing.T) {
	for name, tt := range map[string]struct {
		lines []string
		want  string
	}{
		"none":        {nil, ""},
		"no panic":    {[]string{"one", "two"}, "two"},
		"panic":       {[]string{"one", "scoring c-7", "panic: out of range", "", "goroutine 1 [running]:", "main.go:27"}, "scoring c-7"},
		"panic alone": {[]string{"panic: out of range", "goroutine 1 [running]:"}, ""},
		"short line":  {[]string{"p", "two"}, "two"},
	} {
		d := event.Delivery{ErrorMessage: "panic: out of range (guest/main.go:27)\n  main.go:27"}
		for _, l := range tt.lines {
			d.Logs = append(d.Logs, spec.GuestLine{Message: l})
		}
		if got := lastLine(d); got != tt.want {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
}
