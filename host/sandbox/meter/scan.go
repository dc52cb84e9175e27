package meter

import (
	"math"
	"strings"

	"github.com/berth-host/berth/host/sandbox/wasmbin"
)

// module is one Rewrite in progress.
type module struct {
	cfg     Config
	wasm    []byte
	section string // of the next error
	report  Report

	sections [wasmbin.SectionDataCount + 1]wasmbin.Reader // contents; empty if absent
	kept     []wasmbin.Reader                             // custom sections that survive: their contents from the name on
	names    wasmbin.Reader                               // contents of the name section behind its name
	hasNames bool

	described bool   // a custom section describes the source
	marks     []mark // if not nil: of the body that is emitted

	types         uint32
	shapes        []shape           // of the types
	sameType      map[string]uint32 // the numbers of different types
	defined       []uint32          // the types of the defined functions
	importFuncs   uint32
	imported      []uint32 // the types of the imported functions
	funcs         uint32   // imported and defined
	importGlobals uint32
	globals       uint32 // imported and defined
	maxPages      uint32 // of the memory, 65,536 if it declares no maximum
	maxData       uint32 // bytes of the largest data segment
	minElems      uint32 // largest minimum of a table
	maxElems      uint32 // largest maximum of a table, 2^32-1 if one declares none

	folded      []uint8           // of defined functions: the callers' charge for the whole callee, 0 if it charges itself
	pins        bool              // while scanning: folded holds marks too
	sharesTable bool              // imports or exports a table: functions called from elsewhere charge themselves
	growsTable  bool              // some code has table.grow
	indirect    int64             // what call_indirect pays for its callee: as much as the dearest folded one
	sites       int               // constant charges, an upper bound
	repeats     int               // br_ifs to loop heads
	used        [helperCount]bool // helpers the module needs
	work        analysis
	frames      []emitFrame // of emitBody

	indirects   int               // call_indirects
	calls       []uint32          // the calls of all functions: nodes of the call graph
	callsOf     []uint32          // of defined functions: where theirs begin in calls
	frameBytes  []int32           // of defined functions
	stackOf     []int32           // of defined functions: the entry's charge of the stack, or 0
	stackOfType []int32           // of different types: a call_indirect's charge of the stack, or 0
	declares    []uint64          // a bit for each function that code may refer to
	refs        []uint32          // functions that code refers to by ref.func
	refOf       map[uint32]uint32 // their indexes in refs
	assignments assignments
	declared    struct { // the locals of the body that is read
		count uint32
		wide  bool
	}
	way []visited
}

// scan checks the module and collects the data that emit needs before it writes the
// first byte.
func (m *module) scan() error {
	s, err := wasmbin.NewSections(m.wasm)
	if err != nil {
		return err
	}
	m.pins = true
	for {
		id, body, ok, err := s.Next()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		m.section = wasmbin.SectionName(id)
		if id == wasmbin.SectionCustom {
			if err := m.scanCustom(body); err != nil {
				return err
			}
			continue
		}
		m.sections[id] = body
		if err := m.scanSection(id, body); err != nil {
			return err
		}
	}
	m.section = "code"
	if m.sections[wasmbin.SectionCode].Left() == 0 && len(m.folded) > 0 {
		return &wasmbin.Error{Offset: len(m.wasm), Reason: "functions are declared, but there is no code section"}
	}
	m.used[helperRefill] = len(m.folded) > 0
	for _, used := range m.used {
		if used {
			m.report.Helpers++
		}
	}
	m.callsOf = append(m.callsOf, uint32(len(m.calls)))
	m.chargeStack()
	m.pins = false
	for i, w := range m.folded {
		if w&pinned != 0 || w&addressed != 0 && m.sharesTable {
			w = 0
		}
		cost := w &^ addressed
		if m.folded[i] = cost; cost == 0 {
			continue
		}
		m.report.Folded++
		if w&addressed != 0 {
			m.indirect = max(m.indirect, int64(cost))
		}
	}
	return nil
}

// Marks in folded while scanning.
const (
	pinned    = 1 << 7 // the host can enter it: an export, the start function
	addressed = 1 << 6 // call_indirect can enter it: an element, a ref.func
)

func (m *module) mark(fn uint32, how uint8) {
	if m.pins && fn >= m.importFuncs {
		m.folded[fn-m.importFuncs] |= how
	}
}

func (m *module) scanSection(id byte, r wasmbin.Reader) error {
	switch id {
	case wasmbin.SectionType:
		err := each(&r, "types", 3, &m.types, func() error {
			params, results, err := r.FuncType()
			m.addShape(params, results)
			return err
		})
		return err
	case wasmbin.SectionImport:
		return m.scanImports(r)
	case wasmbin.SectionFunction:
		var n uint32
		err := each(&r, "functions", 1, &n, func() error {
			at := r.Pos()
			i, err := r.U32()
			if err == nil && i >= m.types {
				err = &wasmbin.Error{Offset: at, Reason: "unknown type index"}
			}
			m.defined = append(m.defined, i)
			return err
		})
		m.funcs = m.importFuncs + n
		m.folded = make([]uint8, n)
		m.report.Functions = int(n)
		return err
	case wasmbin.SectionTable:
		return each(&r, "tables", 3, nil, func() error { return m.scanTable(&r) })
	case wasmbin.SectionMemory:
		return each(&r, "memories", 2, nil, func() error {
			at := r.Pos()
			l, err := r.Limits()
			if err == nil && m.maxPages != 0 {
				err = wasmbin.Unsupported(at, "multiple memories")
			}
			m.setMemory(l)
			return err
		})
	case wasmbin.SectionGlobal:
		m.globals = m.importGlobals
		return each(&r, "globals", 4, nil, func() error {
			if _, _, err := r.Global(); err != nil {
				return err
			}
			if err := m.checkExpr(&r); err != nil {
				return err
			}
			m.globals++
			return nil
		})
	case wasmbin.SectionExport:
		return each(&r, "exports", 3, nil, func() error { return m.scanExport(&r) })
	case wasmbin.SectionStart:
		if _, err := m.function(&r, pinned); err != nil {
			return err
		}
		return r.Done("the start section")
	case wasmbin.SectionElement:
		var segment []byte
		return each(&r, "element segments", 2, nil, func() (err error) {
			segment, err = m.element(segment[:0], &r)
			return err
		})
	case wasmbin.SectionCode:
		return m.scanCode(r)
	case wasmbin.SectionData:
		return each(&r, "data segments", 2, nil, func() error { return m.scanData(&r) })
	case wasmbin.SectionDataCount:
		if _, err := r.U32(); err != nil {
			return err
		}
		return r.Done("the data count section")
	}
	return nil
}

// each reads a vector of entries of at least size bytes, and the section's end.
func each(r *wasmbin.Reader, what string, size int, count *uint32, entry func() error) error {
	n, err := r.Count(what, size)
	if err != nil {
		return err
	}
	if count != nil {
		*count = n
	}
	for range n {
		if err := entry(); err != nil {
			return err
		}
	}
	return r.Done("the section")
}

func index(r *wasmbin.Reader, what string, limit uint32) error {
	at := r.Pos()
	i, err := r.U32()
	if err == nil && i >= limit {
		err = &wasmbin.Error{Offset: at, Reason: "unknown " + what + " index"}
	}
	return err
}

// function reads the index of a function that can be entered in another way than
// by a direct call.
func (m *module) function(r *wasmbin.Reader, how uint8) (uint32, error) {
	at := r.Pos()
	fn, err := r.U32()
	if err == nil && fn >= m.funcs {
		err = &wasmbin.Error{Offset: at, Reason: "unknown function index"}
	}
	if err == nil {
		m.mark(fn, how)
	}
	return fn, err
}

func (m *module) scanTable(r *wasmbin.Reader) error {
	_, l, err := r.Table()
	if !l.HasMax {
		l.Max = math.MaxUint32
	}
	m.maxElems = max(m.maxElems, l.Max)
	m.minElems = max(m.minElems, l.Min)
	return err
}

// elements is the largest size of a table.
func (m *module) elements() uint32 {
	if m.growsTable || m.sharesTable {
		return m.maxElems
	}
	return m.minElems
}

func (m *module) setMemory(l wasmbin.Limits) {
	m.maxPages = 65536
	if l.HasMax {
		m.maxPages = min(l.Max, m.maxPages)
	}
	m.maxPages = max(m.maxPages, 1) // 0 means that there is no memory
}

func (m *module) scanImports(r wasmbin.Reader) error {
	err := each(&r, "imports", 4, nil, func() error {
		at := r.Pos()
		mod, err := r.Name()
		if err != nil {
			return err
		}
		if string(mod) == m.cfg.Module {
			return &wasmbin.Error{Offset: at, Reason: "an import from " + m.cfg.Module + ", a name the host reserves"}
		}
		if _, err = r.Name(); err != nil {
			return err
		}
		kind, err := r.Kind()
		if err != nil {
			return err
		}
		switch kind {
		case wasmbin.KindFunc:
			m.importFuncs++
			at := r.Pos()
			i, err := r.U32()
			if err == nil && i >= m.types {
				err = &wasmbin.Error{Offset: at, Reason: "unknown type index"}
			}
			m.imported = append(m.imported, i)
			return err
		case wasmbin.KindTable:
			m.sharesTable = true
			err = m.scanTable(&r)
		case wasmbin.KindMemory:
			at := r.Pos()
			var l wasmbin.Limits
			l, err = r.Limits()
			if err == nil && m.maxPages != 0 {
				err = wasmbin.Unsupported(at, "multiple memories")
			}
			m.setMemory(l)
		case wasmbin.KindGlobal:
			m.importGlobals++
			_, _, err = r.Global()
		}
		return err
	})
	m.funcs, m.globals = m.importFuncs, m.importGlobals
	return err
}

func (m *module) scanExport(r *wasmbin.Reader) error {
	at := r.Pos()
	name, err := r.Name()
	if err != nil {
		return err
	}
	if string(name) == m.cfg.Global || string(name) == m.cfg.Stack {
		return &wasmbin.Error{Offset: at, Reason: "an export named " + string(name) + ", a name the host reserves"}
	}
	kind, err := r.Kind()
	if err != nil {
		return err
	}
	switch kind {
	case wasmbin.KindFunc:
		fn, err := m.function(r, pinned)
		m.declare(fn)
		return err
	case wasmbin.KindTable:
		m.sharesTable = true
	case wasmbin.KindGlobal:
		return index(r, "global", m.globals)
	}
	_, err = r.U32()
	return err
}

func (m *module) scanData(r *wasmbin.Reader) error {
	at := r.Pos()
	flags, err := r.U32()
	switch {
	case err != nil:
		return err
	case flags > 2:
		return &wasmbin.Error{Offset: at, Reason: "unknown kind of data segment"}
	case flags == 2:
		at := r.Pos()
		if i, err := r.U32(); err != nil {
			return err
		} else if i != 0 {
			return wasmbin.Unsupported(at, "multiple memories")
		}
	}
	if flags != 1 {
		if err := m.checkExpr(r); err != nil {
			return err
		}
	}
	n, err := r.Count("bytes of data", 1)
	if err != nil {
		return err
	}
	m.maxData = max(m.maxData, n)
	return r.Skip(int(n))
}

// checkExpr checks a constant expression.
func (m *module) checkExpr(r *wasmbin.Reader) error {
	in := &m.work.in
	for {
		more, err := r.ConstInstr(in)
		if err != nil || !more {
			return err
		}
		if err := m.checkIndex(in); err != nil {
			return err
		}
	}
}

func (m *module) scanCustom(r wasmbin.Reader) error {
	whole := r
	name, err := r.Name()
	if err != nil {
		return err
	}
	switch {
	case string(name) == "name" && !m.hasNames:
		m.names, m.hasNames = r, true
	case strings.HasPrefix(string(name), "berth.") && string(name) != SourceMap:
		m.kept = append(m.kept, whole)
	default:
		m.described = m.described || describesSource(string(name), r.Slice(r.Pos(), r.Pos()+r.Left()))
		m.report.DroppedCustom++
		m.report.DroppedBytes += whole.Left()
	}
	return nil
}

// scanCode checks each function's code and finds the leaf functions that are
// small enough, and only ever called directly, so that their callers can pay.
func (m *module) scanCode(r wasmbin.Reader) error {
	n, err := r.Count("function bodies", 3)
	if err != nil {
		return err
	}
	if int(n) != len(m.folded) {
		return r.Errorf("%d function bodies for %d functions", n, len(m.folded))
	}
	for i := range n {
		at := r.Pos()
		body, err := m.body(&r)
		if err != nil {
			return err
		}
		a := &m.work
		m.callsOf = append(m.callsOf, uint32(len(m.calls)))
		if err := m.analyse(body, a); err != nil {
			return err
		}
		frame, err := m.frame(i, a)
		if err != nil {
			return &wasmbin.Error{Offset: at, Reason: err.Error()}
		}
		m.frameBytes = append(m.frameBytes, frame)
		m.sites += len(a.charges)
		m.repeats += a.repeats
		if a.leaf && a.charges[0] <= foldLimit {
			m.folded[i] |= uint8(a.charges[0])
		}
	}
	return r.Done("the section")
}

// body reads one entry of the code section up to its code.
func (m *module) body(r *wasmbin.Reader) (wasmbin.Reader, error) {
	n, err := r.U32()
	if err != nil {
		return *r, err
	}
	body, err := r.Sub(n)
	if err != nil {
		return body, err
	}
	wide := false
	count, err := body.Locals(func(_ uint32, valType byte) { wide = wide || valType == wasmbin.V128 })
	m.declared.count, m.declared.wide = count, wide
	return body, err
}
