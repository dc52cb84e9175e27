package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"time"

	"github.com/berth-host/berth/cmd/cluster/internal/fleet"
)

const (
	// diskSize is that of the tables' disk in a failure test that fills it.
	diskSize = 64 << 20
	// clockShift is how wrong the clocks of two hosts are.
	clockShift = time.Hour
	// fullLimit bounds the time until the full disk refuses events: some fit into the pages that
	// the tables have.
	fullLimit = time.Minute
)

// keepsOwners does something and expects that no unit changes its host meanwhile.
func (t *trial) keepsOwners(ctx context.Context, do func() error) error {
	before, err := view(ctx, t.Hosts[0])
	if err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	after, err := view(ctx, t.Hosts[0])
	if err != nil {
		return err
	}
	epochs := make(map[string]int)
	for _, u := range before.Units {
		epochs[u.Name] = u.Epoch
	}
	for _, u := range after.Units {
		if u.Epoch != epochs[u.Name] {
			err = errors.Join(err, fmt.Errorf("%s was taken: its epoch went from %d to %d", u.Name, epochs[u.Name], u.Epoch))
		}
	}
	if !maps.Equal(before.owners(), after.owners()) {
		err = errors.Join(err, fmt.Errorf("handlers have moved from %v to %v", before.owners(), after.owners()))
	}
	return err
}

// noteRefusals says how publishers were refused, and expects that each answer said when to try
// again.
func (t *trial) noteRefusals() error {
	later, never := t.load.Refused()
	t.note("refused, with Retry-After: %d with 503, %d with 507", later[http.StatusServiceUnavailable], later[http.StatusInsufficientStorage])
	if never > 0 {
		return fmt.Errorf("%d refusals had no Retry-After", never)
	}
	return nil
}

// slowDisk has every commit wait 100 ms longer for the disk, then has a synchronous standby not
// answer for longer than a lease lasts, as a disk that hangs. Leases need neither.
func slowDisk(ctx context.Context, t *trial) error {
	set := func(statement string) error { return t.Server.Exec(statement, "SELECT pg_reload_conf()") }
	if err := errors.Join(set("ALTER SYSTEM SET commit_siblings = 0"), set("ALTER SYSTEM SET commit_delay = 100000")); err != nil {
		return err
	}
	began, acked := time.Now(), t.load.Count()
	if err := t.keepsOwners(ctx, func() error { return t.load.AwaitMore(ctx, t.calm) }); err != nil {
		return fmt.Errorf("commits that last 100 ms longer: %w", err)
	}
	t.note("with commits that last 100 ms longer: %.0f events/s", float64(t.load.Count()-acked)/time.Since(began).Seconds())
	if err := set("ALTER SYSTEM RESET commit_delay"); err != nil {
		return err
	}
	standby, err := t.Server.Standby()
	if err != nil {
		return err
	}
	t.undo = append(t.undo, func() error { standby.Close(); return nil })
	for round := range (t.rounds + 1) / 2 {
		err := t.keepsOwners(ctx, func() error {
			if err := standby.Stop(); err != nil {
				return err
			}
			before := t.load.Count()
			if err := errors.Join(wait(ctx, leasePast), standby.Continue()); err != nil {
				return err
			}
			t.note("while commits hung for %v: %d events acknowledged", leasePast, t.load.Count()-before)
			return t.load.AwaitMore(ctx, t.calm)
		})
		if err != nil {
			return fmt.Errorf("round %d, commits that hang: %w", round+1, err)
		}
	}
	return t.noteRefusals()
}

// smallDisk has the server put the tables on a disk of their own.
func smallDisk(_ context.Context, t *trial) error {
	disk, err := t.NewDisk(diskSize)
	if err != nil {
		return err
	}
	t.undo = append(t.undo, disk.Close)
	t.disk = disk
	return t.Server.Exec("CREATE TABLESPACE small LOCATION '"+disk.Dir()+"'", "ALTER DATABASE postgres SET default_tablespace = small")
}

// fullDisk fills the disk of the tables for longer than a lease lasts, and frees it.
func fullDisk(ctx context.Context, t *trial) error {
	for round := range t.rounds {
		before, _ := t.load.Refused()
		err := t.keepsOwners(ctx, func() error {
			if err := t.disk.Fill(); err != nil {
				return err
			}
			err := fleet.Until(ctx, fullLimit, func(context.Context) error {
				if now, _ := t.load.Refused(); now[http.StatusInsufficientStorage] == before[http.StatusInsufficientStorage] {
					return errors.New("no event was refused with 507")
				}
				return nil
			})
			if err == nil {
				err = wait(ctx, leasePast)
			}
			if err := errors.Join(err, t.disk.Free()); err != nil {
				return err
			}
			freed := time.Now()
			if err := t.load.AwaitMore(ctx, 1); err != nil {
				return err
			}
			t.note("the first event was acknowledged %v after space was free", time.Since(freed).Round(10*time.Millisecond))
			return t.load.AwaitMore(ctx, t.calm)
		})
		if err != nil {
			return fmt.Errorf("round %d: %w", round+1, err)
		}
	}
	return t.noteRefusals()
}

// smallWALDisk has the server write its WAL to a disk of its own.
func smallWALDisk(_ context.Context, t *trial) error {
	disk, err := t.NewDisk(diskSize)
	if err != nil {
		return err
	}
	t.undo = append(t.undo, disk.Close)
	t.disk = disk
	return errors.Join(t.Server.Kill(), t.Server.MoveWAL(filepath.Join(disk.Dir(), "wal")), t.Server.Start())
}

// fullWALDisk fills the disk of the WAL, on which the server fails, then frees it.
func fullWALDisk(ctx context.Context, t *trial) error {
	for round := range (t.rounds + 1) / 2 {
		before, _ := t.load.Refused()
		if err := t.disk.Fill(); err != nil {
			return err
		}
		err := fleet.Until(ctx, fullLimit, func(context.Context) error {
			failed := t.Server.Exec("SELECT pg_switch_wal()") // takes the next file
			if now, _ := t.load.Refused(); failed == nil || now[http.StatusServiceUnavailable] == before[http.StatusServiceUnavailable] {
				return errors.New("the server still writes, or no event was refused with 503")
			}
			return nil
		})
		if err == nil {
			err = wait(ctx, leasePast)
		}
		ended := t.Server.Ended()
		if err := errors.Join(err, t.disk.Free()); err != nil {
			return err
		}
		if ended {
			t.note("the server had ended, and was started again")
			if err := t.Server.Start(); err != nil {
				return err
			}
		}
		if err := t.load.AwaitMore(ctx, t.calm); err != nil {
			return fmt.Errorf("round %d: %w", round+1, err)
		}
	}
	return t.noteRefusals()
}

// clocks has the first host's clock an hour ahead, and the second one's an hour behind.
func clocks(ctx context.Context, t *trial) error {
	began := time.Now()
	binary, err := t.Shifted(ctx)
	if err != nil {
		return err
	}
	t.note("the host with a clock that can be wrong was built in %.0f s", time.Since(began).Seconds())
	t.Hosts[0].SetClock(binary, clockShift)
	t.Hosts[1].SetClock(binary, -clockShift)
	return nil
}

// wrongClocks kills each host, and expects that the cluster says whose clocks are wrong.
func wrongClocks(ctx context.Context, t *trial) error {
	v, err := view(ctx, t.Hosts[2])
	if err != nil {
		return err
	}
	for _, m := range v.Members {
		want := map[string]time.Duration{t.Hosts[0].Name: clockShift, t.Hosts[1].Name: -clockShift}[m.Name]
		got := time.Duration(m.Offset) * time.Millisecond
		t.note("the cluster says that the clock of %s is off by %v", m.Name, got.Round(time.Second))
		if (got - want).Abs() > time.Minute {
			return fmt.Errorf("the clock of %s is off by %v, and is shown as %v", m.Name, want, got)
		}
	}
	return eachHost(kill)(ctx, t)
}
