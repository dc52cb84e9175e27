package repair

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/berth-host/berth/host/store/pages"
	"github.com/berth-host/berth/host/store/schema"
)

const schemaTable = "sqlite_schema"

// readSchema finds the trees of the damaged file.
func (j *job) readSchema() error {
	j.roots, j.names = make(map[string]uint32), make(map[uint32]string)
	add := func(e pages.Entry) {
		if kind, name, root, ok := described(e); ok && (kind == "table" || kind == "index") {
			j.roots[name], j.names[root] = root, name
		}
	}
	gaps, err := j.im.Tree(1, false, func(e pages.Entry) error {
		add(e)
		return nil
	})
	if err != nil || len(gaps) == 0 {
		return err
	}
	j.gaps[schemaTable] = gaps
	return j.im.Orphans(func(o pages.Orphan) (bool, error) {
		if o.Index || o.Root > 1 || slices.ContainsFunc(o.Entries, func(e pages.Entry) bool {
			_, _, _, ok := described(e)
			return !ok
		}) {
			return false, nil
		}
		for _, e := range o.Entries {
			add(e)
		}
		return true, nil
	})
}

// described returns what an entry of the schema describes.
func described(e pages.Entry) (kind, name string, root uint32, ok bool) {
	if len(e.Values) != 5 {
		return "", "", 0, false
	}
	kind, _ = e.Values[0].(string)
	name, _ = e.Values[1].(string)
	page, ok := e.Values[3].(int64)
	known := slices.Contains([]string{"table", "index", "trigger", "view"}, kind)
	return kind, name, uint32(page), ok && known && name != "" && page >= 0 && page < 1<<32
}

// version returns the schema of the damaged file. Without its header that is the
// highest one of which it has every table and index.
func (j *job) version(ctx context.Context) (int, error) {
	if h := j.im.Header; h.Readable && h.Schema > 0 {
		return int(h.Schema), nil
	}
	if len(j.gaps[schemaTable]) > 0 {
		return schema.Latest(), nil
	}
	for v := schema.Latest(); v > 0; v-- {
		has, err := j.hasSchema(ctx, v)
		if has || err != nil {
			return v, err
		}
	}
	return schema.Latest(), nil
}

func (j *job) hasSchema(ctx context.Context, version int) (has bool, err error) {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return false, err
	}
	db.SetMaxOpenConns(1)
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := schema.Upgrade(ctx, db, "", version); err != nil {
		return false, err
	}
	c, err := readCatalog(ctx, db)
	if err != nil {
		return false, err
	}
	for _, t := range c.tables {
		if j.roots[t.name] == 0 {
			return false, nil
		}
	}
	for _, ix := range c.indexes {
		if j.roots[ix.name] == 0 {
			return false, nil
		}
	}
	return true, nil
}

// export copies the entries that can be read, table by table and then those of the pages
// that belong to no sound tree, and notes what the indexes have.
func (j *job) export(ctx context.Context) error {
	for _, t := range j.catalog.tables {
		if err := j.exportTable(ctx, t); err != nil {
			return err
		}
	}
	for _, ix := range j.catalog.indexes {
		if err := j.readIndex(ix); err != nil {
			return err
		}
	}
	for name, root := range j.roots { // of other tables and indexes, which are not exported
		if j.catalog.table(name) == nil && j.catalog.index(name) == nil {
			if _, err := j.im.Tree(root, false, nil); err != nil {
				return err
			}
			if _, err := j.im.Tree(root, true, nil); err != nil {
				return err
			}
		}
	}
	return j.im.Orphans(func(o pages.Orphan) (bool, error) {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		return true, j.exportOrphan(o)
	})
}

func (j *job) exportTable(ctx context.Context, t *table) error {
	root := j.roots[t.name]
	if root == 0 {
		j.gaps[t.name] = []pages.Gap{{Err: errors.New("the schema that names its first page is damaged")}}
		return nil
	}
	var refused []pages.Gap
	gaps, err := j.im.Tree(root, !t.keyed, func(e pages.Entry) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := j.keep(t, e)
		if errors.Is(err, errShape) || errors.Is(err, errContent) {
			gap := pages.Gap{Page: e.Page, After: e.Values, Until: e.Values, Err: err}
			if t.keyed {
				gap.After, gap.Until = []any{e.Key - 1}, []any{e.Key}
			}
			refused = append(refused, gap)
			if t.name == "events" { // there was one
				_, err = j.out.exec(`INSERT OR IGNORE INTO missing_events VALUES (?)`, e.Key)
				return err
			}
			return nil
		}
		return err
	})
	if gaps = append(gaps, refused...); len(gaps) > 0 {
		j.gaps[t.name] = gaps
	}
	return err
}

// keep adds an entry to the new store.
func (j *job) keep(t *table, e pages.Entry) error {
	if err := t.check(e); err != nil {
		return err
	}
	switch t.name {
	case "log_size":
		j.writes = max(j.writes, uint64(t.integer(e, "writes")))
	case "key_index":
		j.indexed = uint64(max(t.integer(e, "merged"), 0))
	case "event_keys":
		return j.noteEvent("indexed_events", t.integer(e, "seq"))
	}
	if slices.Contains(derived, t.name) {
		return nil
	}
	added, err := j.out.insert(t, e)
	if err == nil && added {
		j.report.count(t.name)
		if e.Blank {
			j.report.doubt(fmt.Sprintf("%s %s has a page of zeros in its value", t.name, t.describe(e)))
		}
	}
	return err
}

// describe names an entry by its key.
func (t *table) describe(e pages.Entry) string {
	var parts []string
	for i, c := range t.columns {
		switch {
		case i == t.alias:
			parts = append(parts, fmt.Sprint(e.Key))
		case c.key > 0 && i < len(e.Values):
			parts = append(parts, fmt.Sprint(e.Values[i]))
		}
	}
	return strings.Join(parts, "/")
}

// readIndex notes the entries of an index that its damaged table may not have.
func (j *job) readIndex(ix *index) error {
	root := j.roots[ix.name]
	if root == 0 {
		j.gaps[ix.name] = []pages.Gap{{Err: errors.New("the schema that names its first page is damaged")}}
		return nil
	}
	var visit func(e pages.Entry) error
	if len(j.gaps[ix.table.name]) > 0 {
		visit = func(e pages.Entry) error { return j.noteMissing(ix, e) }
	}
	gaps, err := j.im.Tree(root, true, visit)
	if len(gaps) > 0 {
		j.gaps[ix.name] = gaps
	}
	return err
}

// whole reports whether all of a tree was read.
func (j *job) whole(name string) bool { return len(j.gaps[name]) == 0 }

// exportOrphan exports a page that no sound page refers to.
func (j *job) exportOrphan(o pages.Orphan) error {
	name := j.names[o.Root]
	if ix := j.catalog.index(name); ix != nil {
		return j.noteAll(ix, o)
	}
	if t := j.catalog.table(name); t != nil {
		return j.keepAll(t, o)
	}
	if name != "" {
		return nil // a table of another program
	}
	var fits []*table // of which a page is missing
	var indexes []*index
	for _, t := range j.catalog.tables {
		if t.keyed == !o.Index && !j.whole(t.name) && all(o.Entries, t.has) {
			fits = append(fits, t)
		}
	}
	for _, ix := range j.catalog.indexes {
		if o.Index && !j.whole(ix.name) && all(o.Entries, ix.has) {
			indexes = append(indexes, ix)
		}
	}
	switch {
	case len(fits) == 1 && len(indexes) == 0:
		t := fits[0]
		if t.name == "events" && !o.Certain {
			return j.keepUncertain(t, o)
		}
		return j.keepAll(t, o)
	case len(fits) == 0 && len(indexes) == 1:
		return j.noteAll(indexes[0], o)
	case len(fits) > 0:
		return j.noteAmbiguous(o)
	}
	return nil
}

func all(entries []pages.Entry, has func(values []any) bool) bool {
	for _, e := range entries {
		if !has(e.Values) {
			return false
		}
	}
	return true
}

func (j *job) keepAll(t *table, o pages.Orphan) error {
	if t.keyed == o.Index {
		return nil
	}
	before := j.report.kept[t.name]
	defer func() {
		n := j.report.kept[t.name] - before
		switch {
		case n == 0 || t.name == "events" || t.name == "orders" && !o.Outdated: // an event does not change
		case o.Outdated:
			j.report.old(t.name, n, false)
		case !o.Certain:
			j.report.old(t.name, n, true)
		}
	}()
	for _, e := range o.Entries {
		if err := j.keep(t, e); err != nil && !errors.Is(err, errShape) && !errors.Is(err, errContent) {
			return err
		}
	}
	return nil
}

// keepUncertain keeps events and notes them: those that had been trimmed are removed when
// it is known how far.
func (j *job) keepUncertain(t *table, o pages.Orphan) error {
	for _, e := range o.Entries {
		if _, err := j.out.exec(`INSERT OR IGNORE INTO uncertain SELECT ?1 WHERE NOT EXISTS (SELECT 1 FROM events WHERE seq = ?1)`, e.Key); err != nil {
			return err
		}
	}
	return j.keepAll(t, o)
}

func (j *job) noteAll(ix *index, o pages.Orphan) error {
	if !o.Index || !o.Certain || len(j.gaps[ix.table.name]) == 0 {
		return nil
	}
	for _, e := range o.Entries {
		if err := j.noteMissing(ix, e); err != nil {
			return err
		}
	}
	return nil
}

// noteMissing notes an entry of an index whose table is damaged.
func (j *job) noteMissing(ix *index, e pages.Entry) error {
	if !ix.has(e.Values) {
		return nil
	}
	get := func(name string) any {
		if at := slices.Index(ix.columns, name); at >= 0 {
			return e.Values[at]
		}
		return nil
	}
	var err error
	switch {
	case ix.table.name == "events":
		if seq, ok := get("rowid").(int64); ok {
			return j.noteEvent("missing_events", seq)
		}
	case ix.table.name == "outcome_blocks" && get("handler") != nil && get("first_seq") != nil:
		_, err = j.out.exec(`INSERT OR IGNORE INTO missing_blocks SELECT ?1, ?2
			WHERE NOT EXISTS (SELECT 1 FROM outcome_blocks WHERE handler = ?1 AND first_seq = ?2)`, get("handler"), get("first_seq"))
	case ix.table.name == "deliveries" && get("handler") != nil && get("seq") != nil:
		status, kept := get("status"), 0
		switch ix.name {
		case "deliveries_dead":
			status = "dead"
		case "deliveries_kept", "deliveries_open":
			kept = 1
		}
		_, err = j.out.exec(`INSERT INTO missing_deliveries SELECT ?1, ?2, ?3, ?4
			WHERE NOT EXISTS (SELECT 1 FROM deliveries WHERE handler = ?1 AND seq = ?2)
			ON CONFLICT DO UPDATE SET status = coalesce(excluded.status, status), kept = max(kept, excluded.kept)`,
			get("handler"), get("seq"), status, kept)
	case ix.table.name == "kv" && get("key") != nil:
		_, err = j.out.exec(`INSERT OR IGNORE INTO missing_kv SELECT ?1, ?2
			WHERE NOT EXISTS (SELECT 1 FROM kv WHERE plugin = ?1 AND key = ?2)`, get("plugin"), get("key"))
	case ix.table.name == "orders" && get("id") != nil:
		_, err = j.out.exec(`INSERT OR IGNORE INTO missing_orders SELECT ?1 WHERE NOT EXISTS (SELECT 1 FROM orders WHERE id = ?1)`, get("id"))
	}
	return err
}

// noteEvent notes in a table that an index has an event, in case the log does not have it.
func (j *job) noteEvent(table string, seq int64) error {
	if j.whole("events") {
		return nil
	}
	_, err := j.out.exec(`INSERT OR IGNORE INTO `+table+` SELECT ?1 WHERE NOT EXISTS (SELECT 1 FROM events WHERE seq = ?1)`, seq)
	return err
}

// noteAmbiguous notes the entries of a page that can be of several tables or indexes:
// cursors and marks are a name and a Seq, like the index of keys.
func (j *job) noteAmbiguous(o pages.Orphan) error {
	tree := o.Root
	if tree == 0 {
		tree = o.Page
	}
	for _, e := range o.Entries {
		name, ok := e.Values[0].(string)
		if !ok || len(e.Values) != 2 {
			return nil
		}
		if _, err := j.out.exec(`INSERT OR IGNORE INTO ambiguous VALUES (?, ?, ?)`, tree, name, e.Values[1]); err != nil {
			return err
		}
	}
	return nil
}
