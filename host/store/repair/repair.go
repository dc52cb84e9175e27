package repair

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/store/datafile"
	"github.com/berth-host/berth/host/store/logread"
	"github.com/berth-host/berth/host/store/outcomes"
	"github.com/berth-host/berth/host/store/pages"
	"github.com/berth-host/berth/host/store/schema"
)

// Config sets up Run. Path and Output are required.
type Config struct {
	Path     string                         // the damaged data file
	Output   string                         // the new one; must not exist
	Progress func(step string, n, of int64) // gets the bytes read and those of the file; may be nil
	Now      func() time.Time               // nil is time.Now
}

// Run exports a damaged store. Nobody may be using it: Run holds its lock. The new file
// appears when it is complete and has passed a check; on an error there is none.
// Memory does not grow with the file, except by a few bytes for each page.
//
// fault.Conflict: the store is in use, or Output exists. fault.Invalid: it is not a store
// of Berth's, or a newer one. fault.Internal: nothing in it can be read. fault.Exhausted: the
// disk is full.
func Run(ctx context.Context, cfg Config) (report Report, err error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Progress == nil {
		cfg.Progress = func(string, int64, int64) {}
	}
	if _, err := os.Lstat(cfg.Output); err == nil {
		return report, fault.New(fault.Conflict, "%s exists: move it away, or name another file", cfg.Output)
	}
	if err := interrupted(cfg.Path); err != nil {
		return report, err
	}
	if _, err := os.Stat(cfg.Path); err != nil {
		return report, fault.New(fault.NotFound, "%w", err)
	}
	release, err := datafile.Exclude(cfg.Path)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, release()) }()

	partial := cfg.Output + ".partial"
	if err := os.Remove(partial); err != nil && !errors.Is(err, os.ErrNotExist) {
		return report, fault.New(fault.Unavailable, "%w", err)
	}
	defer func() {
		for _, name := range []string{partial, partial + "-journal"} {
			_ = os.Remove(name) // nothing of it is needed
		}
	}()
	j := &job{cfg: cfg}
	if err := j.run(ctx, partial); err != nil {
		return report, datafile.Coded("repair the store", partial, false, err)
	}
	if err := check(ctx, partial); err != nil {
		return report, err
	}
	if err := publish(partial, cfg.Output); err != nil {
		return report, fault.Disk("complete the new store", err)
	}
	return j.report, nil
}

// check reads all of the new store.
func check(ctx context.Context, path string) (err error) {
	found, err := logread.Check(ctx, path)
	if err != nil {
		return err
	}
	db, err := datafile.OpenReadOnly(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	blocks, err := outcomes.Check(ctx, db, 1)
	if err == nil && len(found.Pages)+len(found.Events)+len(blocks) > 0 {
		err = fault.New(fault.Internal, "the new store did not pass its check: %v %v %v", found.Pages, found.Events, blocks)
	}
	return err
}

// publish flushes the new file and gives it its name.
func publish(partial, output string) error {
	f, err := os.Open(partial)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close(), os.Rename(partial, output)); err != nil {
		return err
	}
	return syncDir(filepath.Dir(output))
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// job is one repair.
type job struct {
	cfg    Config
	im     *pages.Image
	out    *output
	report Report

	catalog *catalog
	roots   map[string]uint32 // the trees of the damaged file, by name
	names   map[uint32]string
	gaps    map[string][]pages.Gap // by name
	writes  uint64                 // that the damaged store had committed
	indexed uint64                 // the table event_keys has every event up to this Seq
	mark    datafile.Position      // of the watermark, zero without one
}

func (j *job) run(ctx context.Context, partial string) (err error) {
	j.im, err = pages.Open(j.cfg.Path, func(n, of int64) { j.cfg.Progress("read", n, of) })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.im.Close()) }()
	if h := j.im.Header; h.Readable && h.Application != schema.ApplicationID {
		return fault.New(fault.Invalid, "%s is not a store of Berth's", j.cfg.Path)
	} else if h.Readable && int(h.Schema) > schema.Latest() {
		return fault.New(fault.Invalid, "%s was written by a newer Berth (schema %d, this one knows %d); repair it with that version",
			j.cfg.Path, h.Schema, schema.Latest())
	}
	// A damaged watermark is no reason to give up: then the pages alone say what was there.
	j.mark, _, _ = datafile.ReadWatermark(j.cfg.Path)
	j.gaps = make(map[string][]pages.Gap)
	if err := j.readSchema(); err != nil {
		return err
	}
	version, err := j.version(ctx)
	if err != nil {
		return err
	}
	db, err := datafile.Create(partial)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := schema.Upgrade(ctx, db, partial, version); err != nil {
		return err
	}
	if j.catalog, err = readCatalog(ctx, db); err != nil {
		return err
	}
	if j.out, err = newOutput(ctx, db, j.catalog); err != nil {
		return err
	}
	if err := j.export(ctx); err != nil {
		return err
	}
	if err := j.out.commit(); err != nil {
		return err
	}
	if j.report.entries() == 0 {
		return fault.New(fault.Internal, "nothing in %s can be read as a store of Berth's", j.cfg.Path)
	}
	j.cfg.Progress("check", 0, 0)
	if err := schema.Upgrade(ctx, db, partial, schema.Latest()); err != nil {
		return err
	}
	return j.reconcile(ctx, db)
}

// reconcile makes the exported entries a store again.
func (j *job) reconcile(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // does nothing after the commit
	r := &reconciliation{job: j, ctx: ctx, tx: tx, at: j.cfg.Now().UnixNano()}
	if err := r.compareWatermark(); err != nil {
		return err
	}
	for _, step := range []func() error{r.lostEvents, r.lostEntries, r.blocks, r.openDeliveries, r.cursors, r.deliveriesWithoutEvent, r.attempts, r.scheduled,
		r.marks, r.identity, r.leftovers, r.summaries} {
		if err := step(); err != nil {
			return err
		}
	}
	if err := schema.Recount(ctx, tx, max(j.writes, j.mark.Writes)+1); err != nil {
		return err
	}
	j.finish()
	return tx.Commit()
}

// finish completes the report.
func (j *job) finish() {
	r := &j.report
	r.Path, r.Output, r.Pages, r.WAL = j.cfg.Path, j.cfg.Output, j.im.Count(), j.im.WAL
	damaged := make(map[uint32]bool)
	for _, gaps := range j.gaps {
		for _, gap := range gaps {
			damaged[gap.Page] = true
		}
	}
	r.Damaged = len(damaged)
	for _, t := range j.catalog.tables {
		if n := r.kept[t.name]; n > 0 {
			r.Exported = append(r.Exported, Count{t.name, n})
		}
	}
	r.loseOld()
	if r.WAL.Unknown > 0 {
		r.lose("pages", uint64(r.WAL.Unknown), fmt.Sprintf("%d changes in the WAL are damaged, and which pages they changed is unknown: "+
			"entries may be older than the newest that were written", r.WAL.Unknown))
	}
	r.Lost, r.Events, r.Handlers, r.Doubtful = append([]Loss{}, r.Lost...), append([]Range{}, r.Events...), append([]Moved{}, r.Handlers...),
		append([]string{}, r.Doubtful...) // never null in JSON
}
