package pages

import "encoding/binary"

// The kinds of pages in the map of pages. SQLite keeps it for auto_vacuum: every fifth of a
// page's bytes has the kind of a later page and the page that refers to it.
const (
	kindRoot         = 1
	kindFree         = 2
	kindOverflow     = 3 // the first page on which a value continues
	kindOverflowNext = 4
	kindTree         = 5
)

// mapOf returns the page of the map that has the entry of a page.
func (im *Image) mapOf(page uint32) uint32 {
	each := uint32(im.usable/5) + 1
	at := (page-2)/each*each + 2
	if at == im.pendingPage() {
		at++
	}
	return at
}

// isMap reports whether a page is one of the map.
func (im *Image) isMap(page uint32) bool { return im.mapped && page >= 2 && im.mapOf(page) == page }

// kind returns what the map says about a page. known is false when the file has no map, or
// when that part of it cannot be used.
func (im *Image) kind(page uint32) (kind byte, parent uint32, known bool) {
	if !im.mapped || page < 3 || im.isMap(page) {
		return 0, 0, false
	}
	at := im.mapOf(page)
	if im.outdated[at] || page <= at {
		return 0, 0, false
	}
	if im.mapPage != at {
		data, err := im.Page(at)
		if err != nil {
			return 0, 0, false
		}
		im.mapPage, im.mapData = at, data
	}
	offset := 5 * int(page-at-1)
	if offset+5 > im.usable {
		return 0, 0, false
	}
	kind, parent = im.mapData[offset], binary.BigEndian.Uint32(im.mapData[offset+1:])
	switch kind {
	case kindRoot, kindFree:
		known = parent == 0
	case kindOverflow, kindOverflowNext, kindTree:
		known = parent > 0 && parent <= im.count
	}
	return kind, parent, known
}

// mayBe reports whether a page may be of a kind and have a parent: the map says so, or
// nothing.
func (im *Image) mayBe(page uint32, want byte, parent uint32) bool {
	kind, at, known := im.kind(page)
	return !known || kind == want && (at == parent || want == kindRoot)
}

// rootOf returns the root of the tree that a page belongs to by the map, 0 when it does
// not say.
func (im *Image) rootOf(page uint32) uint32 {
	const deepest = 40
	for range deepest {
		if page == 1 {
			return 1
		}
		kind, parent, known := im.kind(page)
		switch {
		case !known:
			return 0
		case kind == kindRoot:
			return page
		case kind != kindTree:
			return 0
		}
		page = parent
	}
	return 0
}

// readFree reads the list of free pages.
func (im *Image) readFree() {
	head, err := im.Page(1)
	if err != nil || !im.Header.Readable {
		return
	}
	trunk, want := binary.BigEndian.Uint32(head[32:]), binary.BigEndian.Uint32(head[36:])
	found := uint32(0)
	for trunk != 0 {
		data, err := im.Page(trunk)
		if err != nil || im.free.has(trunk) || im.outdated[trunk] || !im.mayBe(trunk, kindFree, 0) {
			return
		}
		n := binary.BigEndian.Uint32(data[4:])
		if n > uint32(im.usable/4-2) {
			return
		}
		im.free.add(trunk)
		found++
		for i := range n {
			leaf := binary.BigEndian.Uint32(data[8+4*i:])
			if leaf < 2 || leaf > im.count || im.free.has(leaf) || !im.mayBe(leaf, kindFree, 0) {
				return
			}
			im.free.add(leaf)
			found++
		}
		trunk = binary.BigEndian.Uint32(data)
	}
	im.freeKnown = found == want
}
