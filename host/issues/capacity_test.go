package issues

import (
	"fmt"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// name is a message that no normalisation joins with another one's.
func name(i int) string {
	return "boom " + strings.NewReplacer("0", "o", "1", "i", "2", "z", "3", "e", "4", "h", "5", "s", "6", "g", "7", "t", "8", "b", "9", "q").
		Replace(fmt.Sprintf("%05d", i))
}

// sum is the number of failures that all issues count.
func (b *bundle) sum() (n uint64) {
	for _, i := range b.list(spec.IssueQuery{}) {
		n += i.Count
	}
	return n
}

func (b *bundle) class(class event.Class) []wire.Issue {
	return b.list(spec.IssueQuery{Class: string(class)})
}

func TestIssuesBeyondTheBoundAreOne(t *testing.T) {
	b := setup(t)
	for i := range MaxActive {
		b.failure("a", event.ClassTrap, name(i), "K")
	}
	if got := len(b.list(spec.IssueQuery{})); got != MaxActive || len(b.class(Other)) != 0 {
		t.Fatalf("%d issues, %d for others", got, len(b.class(Other)))
	}
	b.failure("a", event.ClassTrap, name(MaxActive), "L")
	b.failure("a", event.ClassTrap, name(MaxActive+1), "M")
	others := b.class(Other)
	if got := len(b.list(spec.IssueQuery{})); got != MaxActive || len(others) != 1 {
		t.Fatalf("%d issues, %d for others", got, len(others))
	}
	// The issue that had failed last the longest ago is one of them now.
	if o := others[0]; o.Count != 3 || o.KeyCount != 3 || o.Message != otherMessage || o.Frame != nil {
		t.Errorf("got %+v", o)
	}
	if got := b.IssueOf("a", event.ClassTrap, name(0)); got != others[0].ID {
		t.Errorf("the issue of the first failure is %q", got)
	}
	if got := b.sum(); got != MaxActive+2 {
		t.Errorf("%d failures are counted", got)
	}
	if err := b.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.start()
	if got := b.sum(); got != MaxActive+2 || b.nActive != MaxActive {
		t.Errorf("after a restart: %d failures, %d active", got, b.nActive)
	}
}

func TestBusiestHandlerGivesWay(t *testing.T) {
	b := setup(t)
	for i := range MaxActive {
		b.failure("noisy", event.ClassTrap, name(i), "")
	}
	b.change("1", wire.IssueAcknowledged, "")
	b.failure("quiet", event.ClassTrap, "no price", "")
	if list := b.list(spec.IssueQuery{Handler: "quiet"}); len(list) != 1 || list[0].Class != "trap" {
		t.Errorf("got %+v", list)
	}
	if _, err := b.Show("1"); err != nil {
		t.Errorf("an acknowledged issue gave way before an open one: %v", err)
	}
	if b.nActive > MaxActive || b.sum() != MaxActive+1 {
		t.Errorf("%d active, %d failures", b.nActive, b.sum())
	}
	// Two noisy handlers get half of them each.
	for i := range MaxActive {
		b.failure("loud", event.ClassTrap, name(i), "")
	}
	if noisy, loud := b.Active()["noisy"], b.Active()["loud"]; noisy-loud > 1 || loud-noisy > 1 || b.nActive > MaxActive {
		t.Errorf("noisy has %d, loud %d, all are %d", noisy, loud, b.nActive)
	}
	if b.sum() != 2*MaxActive+1 {
		t.Errorf("%d failures", b.sum())
	}
}

func TestReopenedIssueFindsCapacity(t *testing.T) {
	for _, by := range []string{"a failure", "an operator"} {
		b := setup(t)
		b.failure("quiet", event.ClassTrap, "no price", "")
		b.change("1", wire.IssueResolved, "")
		for i := range MaxActive {
			b.failure("noisy", event.ClassTrap, name(i), "")
		}
		if by == "a failure" {
			b.failure("quiet", event.ClassTrap, "no price", "")
		} else {
			b.change("1", wire.IssueOpen, "")
		}
		if i, err := b.Show("1"); err != nil || i.State != wire.IssueOpen || b.nActive > MaxActive {
			t.Errorf("%s: %+v, %v; %d are active", by, i, err, b.nActive)
		}
	}
}

func TestResolvedOthersReopen(t *testing.T) {
	b := setup(t)
	for i := range MaxActive + 1 {
		b.failure("a", event.ClassTrap, name(i), "")
	}
	id := b.class(Other)[0].ID
	b.change(id, wire.IssueResolved, "")
	b.failure("a", event.ClassTrap, "one more", "") // takes the free one
	b.failure("a", event.ClassTrap, "and one more", "")
	if i, err := b.Show(id); err != nil || i.State != wire.IssueOpen || i.Reopened != 1 || b.nActive > MaxActive {
		t.Errorf("got %+v, %v; %d are active", i, err, b.nActive)
	}
	if b.sum() != MaxActive+3 {
		t.Errorf("%d failures", b.sum())
	}
}

func TestEveryHandlerHasAnIssue(t *testing.T) {
	b := setup(t)
	for i := range MaxActive + 5 {
		b.failure("h"+name(i), event.ClassTrap, "boom", "")
	}
	if got := len(b.Active()); got != MaxActive+5 {
		t.Errorf("%d handlers have an issue", got)
	}
}

func TestOldestEndedIssuesGo(t *testing.T) {
	b := setup(t)
	for i := range MaxEnded + 3 {
		b.failure("a", event.ClassTrap, name(i), "")
		b.change(fmt.Sprint(i+1), wire.IssueIgnored, "")
	}
	list := b.list(spec.IssueQuery{})
	if len(list) != MaxEnded {
		t.Errorf("there are %d", len(list))
	}
	for i := range 3 {
		if _, err := b.Show(fmt.Sprint(i + 1)); err == nil {
			t.Errorf("issue %d is there", i+1)
		}
	}
	if err := b.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.start()
	if got := len(b.list(spec.IssueQuery{})); got != MaxEnded {
		t.Errorf("after a restart there are %d", got)
	}
}

// BenchmarkFailed is one failed attempt of a known issue.
func BenchmarkFailed(b *testing.B) {
	for _, size := range []int{50, 4000} {
		b.Run(fmt.Sprintf("%d bytes", size), func(b *testing.B) {
			s := setup(b)
			d := event.Delivery{Handler: "a", Status: event.StatusRetrying, ErrorClass: event.ClassTrap, At: s.now,
				ErrorMessage: "boom " + strings.Repeat("x", size)}
			rec := event.Record{Seq: 1, Event: s.event}
			b.ReportAllocs()
			for b.Loop() {
				s.Failed(rec, d, "A-1", "1.0.0")
			}
		})
	}
}
