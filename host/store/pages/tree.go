package pages

import "fmt"

// Gap is a part of a tree that cannot be read. Its entries have keys above After, up to
// Until; nil is no bound. A key of a table is its rowid, one of an index its values.
type Gap struct {
	Page         uint32
	After, Until []any
	Err          error
}

// deepest bounds the levels of a tree.
const deepest = 40

// walk is one reading of a tree.
type walk struct {
	im    *Image
	index bool
	visit func(Entry) error
	gaps  []Gap
}

// Tree reads a table, or an index or a table without rowid, from its root, in the order of
// its keys. visit may be nil. Its error ends the walk. Pages that cannot be read
// are gaps; sound pages below them are left for Orphans.
func (im *Image) Tree(root uint32, index bool, visit func(Entry) error) ([]Gap, error) {
	w := &walk{im: im, index: index, visit: visit}
	err := w.page(root, 0, 0, nil, nil)
	return w.gaps, err
}

func (w *walk) gap(page uint32, after, until []any, err error) {
	w.gaps = append(w.gaps, Gap{Page: page, After: after, Until: until, Err: fmt.Errorf("page %d: %w", page, err)})
}

// page reads a page and all below it.
func (w *walk) page(page, parent uint32, depth int, after, until []any) error {
	n, err := w.load(page, parent, depth)
	if err != nil {
		w.gap(page, after, until, err)
		return nil
	}
	w.im.seen.add(page)
	w.im.note()
	if !n.inner() && w.visit == nil {
		return nil
	}
	var broken error // why a cell since low could not be read
	low := after
	for i := range n.cells {
		c, e, key, err := w.cell(n, i, low, until)
		if err == nil && broken != nil {
			w.gap(page, low, key, broken)
			broken = nil
		}
		if c.child > 0 { // also of a cell whose key is unknown
			below := key
			if err != nil {
				below = until
			}
			if err := w.page(c.child, page, depth+1, low, below); err != nil {
				return err
			}
		}
		if err != nil {
			broken = err
			continue
		}
		if c.has && w.visit != nil {
			if err := w.visit(e); err != nil {
				return err
			}
		}
		low = key
	}
	if broken != nil {
		w.gap(page, low, until, broken)
	}
	if n.inner() {
		return w.page(n.right, page, depth+1, low, until)
	}
	return nil
}

// cell reads a cell with its entry, and returns its key. c.child is set as far as it is
// known.
func (w *walk) cell(n *node, i int, low, until []any) (c cell, e Entry, key []any, err error) {
	if c, err = n.cell(i); err != nil {
		return cell{}, e, nil, err
	}
	if !w.index && !within(c.key, low, until) {
		return cell{}, e, nil, errCell
	}
	if !c.has {
		return c, e, []any{c.key}, nil
	}
	e, chain, err := w.im.entry(n, c)
	if err != nil {
		return c, e, nil, err
	}
	w.im.mark(chain)
	if key = e.Values; !w.index {
		key = []any{c.key}
	}
	return c, e, key, nil
}

// within reports whether a rowid is above after and up to until.
func within(key int64, after, until []any) bool {
	if len(after) > 0 && key <= after[0].(int64) {
		return false
	}
	return len(until) == 0 || key <= until[0].(int64)
}

// load reads and checks a page of the tree.
func (w *walk) load(page, parent uint32, depth int) (*node, error) {
	im := w.im
	want := byte(kindTree)
	if depth == 0 {
		want = kindRoot
	}
	switch {
	case page == 0 || page > im.count || depth > deepest || im.seen.has(page) || im.isMap(page):
		return nil, errPage
	case im.outdated[page]:
		return nil, errOutdated
	case page > 1 && !im.mayBe(page, want, parent):
		return nil, errPage
	}
	data, err := im.Page(page)
	if err != nil {
		return nil, err
	}
	n, err := im.parseNode(page, data)
	if err == nil && n.index() != w.index {
		err = errPage
	}
	return n, err
}

// Orphan is a page of entries that no sound page refers to.
type Orphan struct {
	Page     uint32
	Root     uint32 // of its tree, 0 when the file does not say
	Index    bool   // it is of an index or a table without rowid
	Certain  bool   // it is not free, by the map or the list of free pages
	Outdated bool   // newer content was lost
	Broken   int    // cells that cannot be read
	Entries  []Entry

	Continued []uint32 // pages on which values continue
}

func (im *Image) mark(pages []uint32) {
	for _, page := range pages {
		im.seen.add(page)
	}
}

// Orphans passes the pages that Tree has not read to visit, the current ones first and
// then the outdated ones. A page for which visit returns true is not passed again.
func (im *Image) Orphans(visit func(Orphan) (used bool, err error)) error {
	for _, outdated := range []bool{false, true} {
		for page := uint32(1); page <= im.count; page++ {
			if im.outdated[page] != outdated || im.seen.has(page) || im.free.has(page) || im.isMap(page) || page == im.pendingPage() {
				continue
			}
			o, ok := im.orphan(page)
			if !ok {
				continue
			}
			used, err := visit(o)
			if err != nil {
				return err
			}
			if used {
				im.seen.add(page)
				im.mark(o.Continued)
			}
		}
	}
	return nil
}

// orphan reads a page; ok is false when it has no entries.
func (im *Image) orphan(page uint32) (o Orphan, ok bool) {
	kind, _, known := im.kind(page)
	if known && kind != kindRoot && kind != kindTree {
		return o, false
	}
	data, err := im.Page(page)
	if err != nil {
		return o, false
	}
	im.note()
	n, err := im.parseNode(page, data)
	if err != nil || n.kind == innerTable || len(n.cells) == 0 {
		return o, false
	}
	o = Orphan{Page: page, Root: im.rootOf(page), Index: n.index(), Certain: known || page == 1 || im.freeKnown,
		Outdated: im.outdated[page]}
	for i := range n.cells {
		c, err := n.cell(i)
		var e Entry
		var chain []uint32
		if err == nil {
			e, chain, err = im.entry(n, c)
		}
		if err != nil {
			o.Broken++
			continue
		}
		o.Entries, o.Continued = append(o.Entries, e), append(o.Continued, chain...)
	}
	return o, len(o.Entries) > 0
}
