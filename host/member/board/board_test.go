package board_test

import (
	"context"
	"errors"
	"fmt"
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
		return cluster.MemberView{Alive: alive, Age: 300 * time.Millisecond, Owns: owns, Member: spec.Member{ID: id, Name: name, URL: "http://" + name, Version: "1", StartedAt: started,
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
	if !got.Shared || got.Host != "b" || got.AgeMS != 700 || got.Problem != "cut off" || !got.SettingsDiffer ||
		got.Findings[0].Detail != "b, which answers: cut off" {
		t.Errorf("got %+v", got)
	}
	var names []string
	for _, m := range got.Members {
		names = append(names, m.Name)
	}
	if strings.Join(names, "") != "abc" || got.Members[2].Alive || got.Members[1].Units != 2 || got.Members[1].Settings != "0123456789ab" || got.Members[1].ClockOffsetMS != 1500 ||
		got.Members[1].AgeMS != 300 {
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

// shown is a cluster of hosts a and b with nothing wrong, before it is changed.
func shown(change func(*cluster.View)) wire.Cluster {
	host := func(name string) cluster.MemberView {
		return cluster.MemberView{Alive: true, Member: spec.Member{ID: name, Name: name, URL: "http://" + name, Version: "1.0", Settings: "5e", Units: []string{"mail"},
			Modules: map[string]string{"mail": "m1"}}}
	}
	v := cluster.View{Members: []cluster.MemberView{host("a"), host("b")}, Units: []cluster.UnitView{{Name: "mail", Epoch: 1, Owner: "a", Host: "a", Wanted: "a"}}}
	change(&v)
	return newBoard(&viewed{v}).Show()
}

// viewed is a cluster that a host sees so.
type viewed struct{ view cluster.View }

func (v *viewed) View() cluster.View                                         { return v.view }
func (v *viewed) Ready() error                                               { return nil }
func (v *viewed) Do(context.Context, string, string, []byte) ([]byte, error) { return nil, nil }

func TestFindings(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*cluster.View)
		want   string // level, detail and advice; "" for none
	}{
		{"all is well", func(*cluster.View) {}, ""},
		{"a hand-over", func(v *cluster.View) { v.Units[0].Owner, v.Units[0].Host = "", "" }, ""},
		{"a host drains", func(v *cluster.View) { v.Members[1].Draining = true }, ""},
		{"the clock is 4.9 s off", func(v *cluster.View) { v.Members[0].ClockOffset = 4900 * time.Millisecond }, ""},
		{"a clock", func(v *cluster.View) { v.Members[0].ClockOffset = -9 * time.Second },
			"warning: the clock of a is -9.0 s off the database's: set it, for example with NTP"},
		{"lost, with another version and another clock", func(v *cluster.View) {
			v.Members[1].Alive, v.Members[1].Version, v.Members[1].Settings, v.Members[1].ClockOffset = false, "2.0", "6e", time.Minute
		}, "warning: b is lost: it does not renew its lease: look at its log at http://b; the others take its handlers"},
		{"an upgrade", func(v *cluster.View) { v.Members[1].Version = "2.0.0-rc.1+long" },
			"warning: the hosts have different versions: 1.0 on a; 2.0.0-rc.1+long on b: finish the upgrade"},
		{"shards", func(v *cluster.View) {
			v.Members[0].Layouts, v.Members[1].Layouts = map[string]string{"mail": "1", "tax": "2"}, map[string]string{"mail": "4 /metadata/subject", "tax": "2"}
		}, "warning: the hosts want different shards of mail: 1 on a; 4 /metadata/subject on b: give all hosts the same shards and order_by of the handler: the present ones stay until then"},
		{"settings", func(v *cluster.View) { v.Members[1].Settings = "" },
			"warning: the settings that all hosts should share differ: none on b; 5e on a: compare berth config show of each"},
		{"modules", func(v *cluster.View) { v.Members[1].Modules = map[string]string{"mail": "0123456789abcdef"} },
			"warning: the hosts have different modules of mail: 0123456789ab on b; m1 on a: see berth plugin show mail on each"},
		{"no host takes it", func(v *cluster.View) { v.Units[0] = cluster.UnitView{Name: "mail"} },
			"problem: no host runs mail: start a host that can take over, or end a drain"},
		{"no host takes many", func(v *cluster.View) {
			v.Units, v.Members[0].Units = nil, []string{"u1", "u2", "u3", "u4", "u5", "u6", "u7"}
		}, "problem: no host runs mail, u1, u2, u3, u4 and 3 more: start a host that can take over, or end a drain"},
		{"problems are first", func(v *cluster.View) {
			v.Members[0].ClockOffset, v.Units[0] = -9*time.Second, cluster.UnitView{Name: "mail"}
		},
			"problem: no host runs mail: start a host that can take over, or end a drain\n" +
				"warning: the clock of a is -9.0 s off the database's: set it, for example with NTP"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			c := shown(tt.change)
			for _, f := range c.Findings {
				got = append(got, fmt.Sprintf("%s: %s: %s", f.Level, f.Detail, f.Advice))
			}
			if text := strings.Join(got, "\n"); text != tt.want || c.Findings == nil {
				t.Errorf("got %s\nwant %s", text, tt.want)
			}
		})
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
	if got := b.Show(); got.Problem == "" || got.Members == nil || len(got.Findings) != 1 {
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

func TestShardsAreInOrder(t *testing.T) {
	names := []string{"enrich-more", "enrich/10", "enrich/2", "enrich/0", "mail"}
	got := shown(func(v *cluster.View) {
		v.Units = nil
		v.Members[0].Units, v.Members[1].Units = names, nil
	})
	var order []string
	for _, u := range got.Units {
		order = append(order, u.Name)
	}
	if want := []string{"enrich/0", "enrich/2", "enrich/10", "enrich-more", "mail"}; !reflect.DeepEqual(order, want) {
		t.Errorf("got %v, want %v", order, want)
	}
}
