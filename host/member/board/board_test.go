package board_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/cluster"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/member/board"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// seen is a cluster of a, b and c, which is dead; done are its commands.
type seen struct {
	ready error
	done  []string
}

func (s *seen) View() cluster.View {
	started := time.Date(2026, 12, 1, 3, 0, 0, 0, time.UTC)
	host := func(id, name, settings, mail string, alive bool, owns int, units ...string) cluster.MemberView {
		return cluster.MemberView{Alive: alive, Owns: owns, Member: spec.Member{ID: id, Name: name, URL: "http://" + name, Version: "1", StartedAt: started,
			Settings: settings, Modules: map[string]string{"mail": mail, "same": "5a"}, Units: units, ClockOffset: 1500 * time.Millisecond}}
	}
	return cluster.View{Self: "1", Age: 700 * time.Millisecond,
		Members: []cluster.MemberView{host("1", "b", "0123456789abcdef", "m1", true, 2, ":jobs", "mail", "same"),
			host("2", "a", "fedcba9876543210", "m2", true, 0, "mail", "new"), host("3", "c", "x", "m3", false, 1, "old")},
		Units: []cluster.UnitView{{Name: ":jobs", Epoch: 1, Owner: "1", Host: "b", Wanted: "b"}, {Name: "gone", Epoch: 9},
			{Name: "mail", Epoch: 4, Owner: "1", Host: "b", Wanted: "a"}, {Name: "old", Epoch: 2, Owner: "3", Host: "c"},
			{Name: "same", Epoch: 7, Wanted: "b"}}}
}

func (s *seen) Ready() error { return s.ready }

func (s *seen) Do(_ context.Context, unit, method string, body []byte) ([]byte, error) {
	s.done = append(s.done, unit+" "+method+" "+string(body))
	return nil, nil
}

func newBoard(c board.Cluster) board.Board {
	return board.Board{Engine: "postgres", Shared: true, Self: func() spec.Member { return spec.Member{Name: "b"} }, Joined: func() board.Cluster { return c }}
}

func TestShow(t *testing.T) {
	s := &seen{ready: errors.New("cut off")}
	got := newBoard(s).Show()
	if !got.Shared || got.Host != "b" || got.AgeMS != 700 || got.Problem != "cut off" || !got.SettingsDiffer {
		t.Errorf("got %+v", got)
	}
	var names []string
	for _, m := range got.Members {
		names = append(names, m.Name)
	}
	if strings.Join(names, "") != "abc" || got.Members[2].Alive || got.Members[1].Units != 2 || got.Members[1].Settings != "0123456789ab" || got.Members[1].ClockOffsetMS != 1500 {
		t.Errorf("got %+v", got.Members)
	}
	if want := []wire.ClusterUnit{{Name: "mail", Kind: "handler", Host: "b", Epoch: 4, MovesTo: "a"}, {Name: "new", Kind: "handler"},
		{Name: "old", Kind: "handler", Host: "c", Epoch: 2}, {Name: "same", Kind: "handler", Epoch: 7, MovesTo: "b"},
		{Name: ":jobs", Kind: "job", Host: "b", Epoch: 1}}; !reflect.DeepEqual(got.Units, want) {
		t.Errorf("got %+v", got.Units)
	}
	if want := []wire.ClusterModules{{Plugin: "mail", Modules: []wire.ClusterModule{{SHA256: "m1", Hosts: []string{"b"}}, {SHA256: "m2", Hosts: []string{"a"}}}}}; !reflect.DeepEqual(got.Modules, want) {
		t.Errorf("got %+v", got.Modules)
	}
}

func TestDrain(t *testing.T) {
	s := &seen{}
	m, err := newBoard(s).SetDraining(t.Context(), "a", true)
	if err != nil || m.Name != "a" || !m.Draining {
		t.Errorf("got %+v, %v", m, err)
	}
	if m, err = newBoard(s).SetDraining(t.Context(), "a", false); err != nil || m.Draining {
		t.Errorf("got %+v, %v", m, err)
	}
	if got := strings.Join(s.done, "\n"); got != "@2 drain true\n@2 drain false" {
		t.Errorf("got %s", got)
	}
	_, err = newBoard(s).SetDraining(t.Context(), "c", true) // it is dead
	if !fault.Is(err, fault.NotFound) || !strings.Contains(err.Error(), "there are a, b") {
		t.Errorf("got %v", err)
	}
}

func TestHostAlone(t *testing.T) {
	b := newBoard(nil)
	b.Shared, b.Engine = false, "sqlite"
	if got := b.Show(); got.Shared || len(got.Members) != 1 || got.Members[0].Name != "b" || !got.Members[0].Alive || got.Units == nil {
		t.Errorf("got %+v", got)
	}
	if _, err := b.SetDraining(t.Context(), "b", true); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "runs alone") {
		t.Errorf("got %v", err)
	}
}

func TestHostThatHasNotJoined(t *testing.T) {
	b := newBoard(nil)
	if got := b.Show(); got.Problem == "" || got.Members == nil {
		t.Errorf("got %+v", got)
	}
	if _, err := b.SetDraining(t.Context(), "b", true); !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
}

func TestMethodsDrain(t *testing.T) {
	var got []bool
	drain := board.Methods(func(on bool) { got = append(got, on) })["drain"]
	for _, body := range []string{"true", "false"} {
		if _, err := drain(t.Context(), "@2", []byte(body)); err != nil {
			t.Error(err)
		}
	}
	if _, err := drain(t.Context(), "@2", []byte("x")); !fault.Is(err, fault.Invalid) {
		t.Errorf("got %v", err)
	}
	if !reflect.DeepEqual(got, []bool{true, false}) {
		t.Errorf("got %v", got)
	}
}
