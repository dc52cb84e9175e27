package prescan

import (
	"errors"

	"github.com/berth-host/berth/host/sandbox/wasmbin"
)

// ManifestSection is the custom section whose contents Scan returns.
const ManifestSection = "berth.manifest"

// scan is one Scan in progress.
type scan struct {
	limits   Limits
	report   Report
	section  string
	function int

	types       []funcType
	funcs       []uint32 // the type of each function, imports first
	importFuncs int
	bodies      int
	dataCount   int // as declared by the data count section, or -1
	customBytes int
	loops       []bool // of the open blocks: whether each is a loop
}

// funcType is a type as slices of the module.
type funcType struct {
	params, results []byte
	named           *FuncType // once asked for
}

// Scan checks wasm against limits. The error, if any, is an *Error. wasm is neither
// modified nor retained.
func Scan(wasm []byte, limits Limits) (Report, error) {
	s := &scan{limits: limits.WithDefaults(), section: "header", function: -1, dataCount: -1}
	s.report.Bytes = len(wasm)
	err := s.module(wasm)
	if err == nil {
		return s.report, nil
	}
	var own *Error
	if errors.As(err, &own) {
		return s.report, own
	}
	e := &Error{Section: s.section, Function: s.function, Reason: err.Error()}
	var be *wasmbin.Error
	if errors.As(err, &be) {
		e.Offset, e.Reason, e.Feature = be.Offset, be.Reason, be.Feature
		s.report.Component = be.Reason == wasmbin.ComponentHint
	}
	return s.report, e
}

// over refuses a value that is over its limit.
func (s *scan) over(at int, what string, got uint64, limit int) error {
	return s.check(at, what, got, limit, false)
}

// overBytes is over for a number of bytes.
func (s *scan) overBytes(at int, what string, got uint64, limit int) error {
	return s.check(at, what, got, limit, true)
}

func (s *scan) check(at int, what string, got uint64, limit int, inBytes bool) error {
	if got <= uint64(limit) {
		return nil
	}
	e := s.refuse(at, what+" "+amount(got, inBytes)+" is over the limit of "+amount(uint64(limit), inBytes))
	e.Limit, e.Got, e.Max = what, got, uint64(limit)
	return e
}

func (s *scan) refuse(at int, reason string) *Error {
	return &Error{Offset: at, Section: s.section, Function: s.function, Reason: reason}
}

func (s *scan) module(wasm []byte) error {
	if err := s.overBytes(0, "module", uint64(len(wasm)), s.limits.ModuleBytes); err != nil {
		return err
	}
	sections, err := wasmbin.NewSections(wasm)
	if err != nil {
		return err
	}
	for {
		id, r, ok, err := sections.Next()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		s.section = wasmbin.SectionName(id)
		if err := s.contents(id, r); err != nil {
			return err
		}
	}
	s.section = "code"
	if defined := len(s.funcs) - s.importFuncs; s.bodies != defined {
		return s.refuse(len(wasm), amount(uint64(defined), false)+" functions declared, but "+amount(uint64(s.bodies), false)+" bodies")
	}
	s.section = "data"
	if s.dataCount >= 0 && s.dataCount != s.report.DataSegments {
		return s.refuse(len(wasm), "the data count section declares another number of segments")
	}
	return nil
}

// contents scans one section.
func (s *scan) contents(id byte, r wasmbin.Reader) error {
	switch id {
	case wasmbin.SectionCustom:
		return s.custom(r)
	case wasmbin.SectionType:
		return s.each(&r, "types", 3, s.limits.Types, s.funcType)
	case wasmbin.SectionImport:
		return s.each(&r, "imports", 4, s.limits.Imports, s.imported)
	case wasmbin.SectionFunction:
		return s.each(&r, "functions", 1, s.limits.Functions-len(s.funcs), s.declared)
	case wasmbin.SectionTable:
		return s.each(&r, "tables", 3, s.limits.Tables, s.table)
	case wasmbin.SectionMemory:
		return s.each(&r, "memories", 2, 1<<30, s.memory)
	case wasmbin.SectionGlobal:
		return s.each(&r, "globals", 4, s.limits.Globals-s.report.Globals, s.global)
	case wasmbin.SectionExport:
		return s.each(&r, "exports", 3, s.limits.Exports, s.exported)
	case wasmbin.SectionStart:
		if _, err := r.U32(); err != nil {
			return err
		}
	case wasmbin.SectionElement:
		return s.each(&r, "element segments", 2, s.limits.Elements, s.element)
	case wasmbin.SectionCode:
		return s.each(&r, "function bodies", 3, s.limits.Functions, s.body)
	case wasmbin.SectionData:
		return s.each(&r, "data segments", 2, s.limits.DataSegments, s.data)
	case wasmbin.SectionDataCount:
		at := r.Pos()
		n, err := r.U32()
		if err != nil {
			return err
		}
		if err := s.over(at, "data segments", uint64(n), s.limits.DataSegments); err != nil {
			return err
		}
		s.dataCount = int(n)
	}
	return r.Done("the section")
}

// each scans a vector of entries of size bytes at least, and the section's end.
func (s *scan) each(r *wasmbin.Reader, what string, size, limit int, entry func(*wasmbin.Reader) error) error {
	at := r.Pos()
	n, err := r.Count(what, size)
	if err != nil {
		return err
	}
	if err := s.over(at, what, uint64(n), max(limit, 0)); err != nil {
		return err
	}
	for range n {
		if err := entry(r); err != nil {
			return err
		}
	}
	return r.Done("the section")
}

func (s *scan) name(r *wasmbin.Reader) (string, error) {
	at := r.Pos()
	b, err := r.Name()
	if err != nil {
		return "", err
	}
	return string(b), s.overBytes(at, "name", uint64(len(b)), s.limits.NameBytes)
}

func (s *scan) custom(r wasmbin.Reader) error {
	at := r.Pos()
	s.customBytes += r.Left()
	if err := s.overBytes(at, "custom sections", uint64(s.customBytes), s.limits.CustomBytes); err != nil {
		return err
	}
	if err := s.over(at, "custom sections", uint64(len(s.report.Customs))+1, maxCustoms); err != nil {
		return err
	}
	name, err := s.name(&r)
	if err != nil {
		return err
	}
	s.report.Customs = append(s.report.Customs, Custom{Name: name, Offset: r.Pos(), Size: r.Left()})
	if name == ManifestSection {
		if s.report.Manifest != nil {
			return s.refuse(at, "a second custom section "+ManifestSection)
		}
		s.report.Manifest = append([]byte{}, r.Slice(r.Pos(), r.Pos()+r.Left())...)
	}
	return nil
}

const maxCustoms = 1000

func (s *scan) funcType(r *wasmbin.Reader) error {
	at := r.Pos()
	params, results, err := r.FuncType()
	if err != nil {
		return err
	}
	if err := s.over(at, "parameters", uint64(len(params)), s.limits.Params); err != nil {
		return err
	}
	if err := s.over(at, "results", uint64(len(results)), s.limits.Params); err != nil {
		return err
	}
	s.report.MaxParams = max(s.report.MaxParams, len(params), len(results))
	s.types = append(s.types, funcType{params: params, results: results})
	s.report.Types++
	return nil
}

// signature is a type by its index, with names. All users of a type share them.
func (s *scan) signature(index uint32) FuncType {
	names := func(types []byte) []string {
		out := make([]string, len(types))
		for i, t := range types {
			out[i] = wasmbin.TypeName(t)
		}
		return out
	}
	t := &s.types[index]
	if t.named == nil {
		t.named = &FuncType{names(t.params), names(t.results)}
	}
	return *t.named
}

// typeIndex reads the type of a function.
func (s *scan) typeIndex(r *wasmbin.Reader) (uint32, error) {
	at := r.Pos()
	i, err := r.U32()
	if err == nil && uint64(i) >= uint64(len(s.types)) {
		err = s.refuse(at, "unknown type index")
	}
	return i, err
}

func (s *scan) imported(r *wasmbin.Reader) error {
	var i Import
	var err error
	if i.Module, err = s.name(r); err != nil {
		return err
	}
	if i.Name, err = s.name(r); err != nil {
		return err
	}
	at := r.Pos()
	kind, err := r.Kind()
	if err != nil {
		return err
	}
	i.Kind = wasmbin.KindName(kind)
	switch kind {
	case wasmbin.KindFunc:
		t, err := s.typeIndex(r)
		if err != nil {
			return err
		}
		i.Type = s.signature(t)
		s.funcs = append(s.funcs, t)
		s.importFuncs++
	default:
		return s.refuse(at, "an imported "+i.Kind+" ("+i.Module+"."+i.Name+"): the module must define its own")
	}
	s.report.Imports = append(s.report.Imports, i)
	return nil
}

func (s *scan) declared(r *wasmbin.Reader) error {
	t, err := s.typeIndex(r)
	s.funcs = append(s.funcs, t)
	s.report.Functions++
	return err
}

func (s *scan) table(r *wasmbin.Reader) error {
	at := r.Pos()
	_, l, err := r.Table()
	if err != nil {
		return err
	}
	s.report.Tables = append(s.report.Tables, l.Min)
	return s.over(at, "table elements", uint64(l.Min), s.limits.TableElements)
}

func (s *scan) memory(r *wasmbin.Reader) error {
	at := r.Pos()
	l, err := r.Limits()
	if err != nil {
		return err
	}
	if s.report.HasMemory {
		return wasmbin.Unsupported(at, "multiple memories")
	}
	s.report.HasMemory, s.report.MemoryMin, s.report.MemoryMax, s.report.HasMemoryMax = true, l.Min, l.Max, l.HasMax
	return s.over(at, "memory pages", uint64(l.Min), min(s.limits.MemoryPages, 65535))
}

func (s *scan) global(r *wasmbin.Reader) error {
	if _, _, err := r.Global(); err != nil {
		return err
	}
	s.report.Globals++
	return r.ConstExpr()
}

func (s *scan) exported(r *wasmbin.Reader) error {
	name, err := s.name(r)
	if err != nil {
		return err
	}
	kind, err := r.Kind()
	if err != nil {
		return err
	}
	at := r.Pos()
	i, err := r.U32()
	if err != nil {
		return err
	}
	e := Export{Name: name, Kind: wasmbin.KindName(kind)}
	if kind == wasmbin.KindFunc {
		if uint64(i) >= uint64(len(s.funcs)) {
			return s.refuse(at, "unknown function index")
		}
		e.Type = s.signature(s.funcs[i])
	}
	s.report.Exports = append(s.report.Exports, e)
	return nil
}
