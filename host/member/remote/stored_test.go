package remote_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/cluster"
	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/member/remote"
	"github.com/berth-host/berth/host/spec"
)

// visiting carries commands out as a host does that takes a unit for one which no host runs.
type visiting struct{ methods map[string]cluster.Method }

func (v *visiting) Do(ctx context.Context, unit, method string, body []byte) ([]byte, error) {
	return v.methods[method](spec.WithFence(ctx, spec.Fence{Unit: unit, Epoch: 1}), unit, body)
}

func (v *visiting) HostsWith(string) []string { return []string{"b"} }

type storedLog struct {
	*bus.Bus
	*bus.Memory
}

func (l storedLog) Subscribe(from uint64) delivery.Reader { return l.Bus.Subscribe(from) }
func (l storedLog) Last() uint64                          { return l.Memory.Last() }

// divided has two shards of every plugin, in turn.
type divided struct{}

func (divided) Units(_ context.Context, plugin string) ([]string, error) {
	return spec.Units(plugin, 2), nil
}

func (divided) Running(ctx context.Context, plugin string) ([]string, error) {
	return divided{}.Units(ctx, plugin)
}

func (divided) Divide(_ context.Context, plugin string, seqs []uint64) (map[string][]uint64, error) {
	parts := make(map[string][]uint64)
	for _, seq := range seqs {
		unit := spec.Units(plugin, 2)[seq%2]
		parts[unit] = append(parts[unit], seq)
	}
	return parts, nil
}

// TestDeadLettersOfFormerUnitsArePendingAtPresentOnes: as the store has them, of a handler that had one
// unit, and that no host runs now.
func TestDeadLettersOfFormerUnitsArePendingAtPresentOnes(t *testing.T) {
	ctx := t.Context()
	m := bus.NewMemory(bus.MemoryConfig{})
	defer m.Close()
	b, err := bus.New(bus.Config{Log: m, Window: m.Window()})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := m.Append(ctx, logtest.Numbered(t, "k", 9)); err != nil {
		t.Fatal(err)
	}
	var dead []event.Delivery
	for _, seq := range []uint64{1, 2, 3, 4, 5} {
		dead = append(dead, event.Delivery{Handler: "enrich", Seq: seq, Status: event.StatusDead, Attempts: 3, ErrorClass: event.ClassTrap})
	}
	dead = append(dead, event.Delivery{Handler: "enrich/0", Seq: 8, Status: event.StatusDead, Attempts: 1, ErrorClass: event.ClassTrap})
	if _, _, err := m.SaveDeliveries(ctx, nil, nil, dead, []event.Cursor{{Name: "handler/enrich/0", Seq: 9}, {Name: "handler/enrich/1", Seq: 9}}); err != nil {
		t.Fatal(err)
	}
	d := delivery.New(delivery.Config{Store: m, Log: storedLog{b, m}, Shared: true, Claim: m.SetCursor})
	defer d.Close(context.Background()) //nolint:errcheck // nothing is open
	to := &visiting{}
	a := remote.NewActions(remote.Way{Shared: true, Joined: func() remote.Caller { return to }}, d, divided{}, m.DeadCounts)
	to.methods = a.Methods()
	check := func(want ...string) {
		t.Helper()
		var got []string
		for _, unit := range []string{"enrich", "enrich/0", "enrich/1"} {
			list, err := m.Redriven(ctx, unit, 0, 100)
			if err != nil {
				t.Fatal(err)
			}
			for _, one := range list {
				got = append(got, fmt.Sprint(unit, " ", one.Seq))
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("pending are %q, want %q", got, want)
		}
	}
	if n, err := a.RetryNow(ctx, "enrich", []uint64{3, 4, 6}); n != 2 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	check("enrich/0 4", "enrich/1 3")
	if n, err := a.Redrive(ctx, event.DeadFilter{Handler: "enrich", Class: event.ClassTrap}); n != 4 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	check("enrich/0 2", "enrich/0 4", "enrich/0 8", "enrich/1 1", "enrich/1 3", "enrich/1 5")
	if counts, err := m.DeadCounts(ctx); len(counts) > 0 || err != nil {
		t.Errorf("dead letters are left: %v, %v", counts, err)
	}
	if n, err := a.Redrive(ctx, event.DeadFilter{Handler: "enrich"}); n != 0 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
}
