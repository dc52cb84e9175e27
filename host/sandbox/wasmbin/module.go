package wasmbin

import "strconv"

// Section ids of the core specification.
const (
	SectionCustom    = 0
	SectionType      = 1
	SectionImport    = 2
	SectionFunction  = 3
	SectionTable     = 4
	SectionMemory    = 5
	SectionGlobal    = 6
	SectionExport    = 7
	SectionStart     = 8
	SectionElement   = 9
	SectionCode      = 10
	SectionData      = 11
	SectionDataCount = 12
	sectionTag       = 13
)

var sectionNames = [...]string{"custom", "type", "import", "function", "table", "memory", "global",
	"export", "start", "element", "code", "data", "data count"}

// SectionName is the section's name as in the specification.
func SectionName(id byte) string {
	if int(id) < len(sectionNames) {
		return sectionNames[id]
	}
	return "unknown"
}

// Kinds of imports and exports.
const (
	KindFunc   = 0
	KindTable  = 1
	KindMemory = 2
	KindGlobal = 3
	kindTag    = 4
)

var kindNames = [...]string{"func", "table", "memory", "global"}

// KindName is the kind's name in the text format.
func KindName(kind byte) string {
	if int(kind) < len(kindNames) {
		return kindNames[kind]
	}
	return "unknown"
}

// ComponentHint is the refusal of a component.
const ComponentHint = "this is a WebAssembly component, not a core module: " +
	"build a core module instead (target wasm32-wasip1, WASI preview 1)"

// Header reads the magic and version words. A component is refused with
// ComponentHint.
func (r *Reader) Header() error {
	b, err := r.Bytes(8)
	if err != nil || string(b[:4]) != "\x00asm" {
		return &Error{Reason: "not a WebAssembly module: it does not begin with \\0asm"}
	}
	switch string(b[4:]) {
	case "\x01\x00\x00\x00":
		return nil
	case "\x0d\x00\x01\x00":
		return &Error{Offset: 4, Reason: ComponentHint, Feature: "the component model"}
	}
	if b[6] == 1 && b[7] == 0 { // the layer field is that of a component, of another version
		return &Error{Offset: 4, Reason: ComponentHint, Feature: "the component model"}
	}
	return &Error{Offset: 4, Reason: "unknown version of WebAssembly"}
}

// Sections walks the sections of a module in order.
type Sections struct {
	r    Reader
	rank int
}

// NewSections reads the header of module.
func NewSections(module []byte) (*Sections, error) {
	s := &Sections{r: NewReader(module)}
	return s, s.r.Header()
}

// Next yields the next section's id and its contents; ok is false at the end.
// Sections that are out of order or repeated are refused.
func (s *Sections) Next() (id byte, body Reader, ok bool, err error) {
	if s.r.Left() == 0 {
		return 0, Reader{}, false, nil
	}
	at := s.r.Pos()
	id, _ = s.r.Byte()
	if id == sectionTag {
		return 0, Reader{}, false, Unsupported(at, "exception handling")
	}
	if id > sectionTag {
		return 0, Reader{}, false, &Error{Offset: at, Reason: "unknown section id " + strconv.Itoa(int(id))}
	}
	n, err := s.r.U32()
	if err != nil {
		return 0, Reader{}, false, err
	}
	if body, err = s.r.Sub(n); err != nil {
		return 0, Reader{}, false, err
	}
	if id != SectionCustom {
		rank := 2 * int(id)
		if id == SectionDataCount { // stands between element and code
			rank = 2*SectionElement + 1
		}
		if rank <= s.rank {
			return 0, Reader{}, false, &Error{Offset: at, Reason: "the " + SectionName(id) + " section is out of order or repeated"}
		}
		s.rank = rank
	}
	return id, body, true, nil
}

// Value types of the core specification 2.0.
const (
	I32       = 0x7f
	I64       = 0x7e
	F32       = 0x7d
	F64       = 0x7c
	V128      = 0x7b
	FuncRef   = 0x70
	ExternRef = 0x6f
)

// TypeName is the value type's name in the text format.
func TypeName(t byte) string {
	switch t {
	case I32:
		return "i32"
	case I64:
		return "i64"
	case F32:
		return "f32"
	case F64:
		return "f64"
	case V128:
		return "v128"
	case FuncRef:
		return "funcref"
	case ExternRef:
		return "externref"
	}
	return "unknown"
}

// ValType reads a value type.
func (r *Reader) ValType() (byte, error) {
	at := r.pos
	b, err := r.Byte()
	if err != nil {
		return 0, err
	}
	switch b {
	case I32, I64, F32, F64, V128, FuncRef, ExternRef:
		return b, nil
	case 0x63, 0x64:
		return 0, Unsupported(at, "typed function references")
	case 0x69, 0x74:
		return 0, Unsupported(at, "exception handling")
	case 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x71, 0x72, 0x73:
		return 0, Unsupported(at, "garbage collection (GC)")
	}
	return 0, &Error{Offset: at, Reason: "unknown value type"}
}

// RefType reads a reference type.
func (r *Reader) RefType() (byte, error) {
	at := r.pos
	b, err := r.ValType()
	if err == nil && b != FuncRef && b != ExternRef {
		err = &Error{Offset: at, Reason: TypeName(b) + " is not a reference type"}
	}
	return b, err
}

// formFunc begins a function type.
const formFunc = 0x60

// FuncType reads one entry of the type section: the value types of the parameters
// and of the results, not copied.
func (r *Reader) FuncType() (params, results []byte, err error) {
	at := r.pos
	form, err := r.Byte()
	if err != nil {
		return nil, nil, err
	}
	switch form {
	case formFunc:
	case 0x4e, 0x4f, 0x50, 0x5e, 0x5f:
		return nil, nil, Unsupported(at, "garbage collection (GC)")
	default:
		return nil, nil, &Error{Offset: at, Reason: "not a function type"}
	}
	if params, err = r.valTypes("parameters"); err != nil {
		return nil, nil, err
	}
	results, err = r.valTypes("results")
	return params, results, err
}

func (r *Reader) valTypes(what string) ([]byte, error) {
	n, err := r.Count(what, 1)
	if err != nil {
		return nil, err
	}
	from := r.pos
	for range n {
		if _, err := r.ValType(); err != nil {
			return nil, err
		}
	}
	return r.Slice(from, r.pos), nil
}

// Limits of a memory (in pages of 64 KiB) or a table (in elements).
type Limits struct {
	Min, Max uint32
	HasMax   bool
}

// Limits reads limits. Shared and 64-bit ones are refused.
func (r *Reader) Limits() (l Limits, err error) {
	at := r.pos
	flags, err := r.Byte()
	switch {
	case err != nil:
		return l, err
	case flags&0x08 != 0:
		return l, Unsupported(at, "custom page sizes")
	case flags&0x04 != 0:
		return l, Unsupported(at, "memory64")
	case flags&0x02 != 0:
		return l, Unsupported(at, "threads (shared memory)")
	case flags > 1:
		return l, &Error{Offset: at, Reason: "unknown limits flag"}
	}
	if l.Min, err = r.U32(); err != nil {
		return l, err
	}
	if flags == 1 {
		l.HasMax = true
		if l.Max, err = r.U32(); err != nil {
			return l, err
		}
		if l.Max < l.Min {
			return l, &Error{Offset: at, Reason: "limits whose maximum is below their minimum"}
		}
	}
	return l, nil
}

// Table reads a table's type.
func (r *Reader) Table() (ref byte, l Limits, err error) {
	at := r.pos
	if r.Left() > 0 && r.buf[r.pos] == 0x40 {
		return 0, l, Unsupported(at, "typed function references")
	}
	if ref, err = r.RefType(); err == nil {
		l, err = r.Limits()
	}
	return ref, l, err
}

// Global reads a global's type.
func (r *Reader) Global() (val byte, mutable bool, err error) {
	if val, err = r.ValType(); err != nil {
		return 0, false, err
	}
	at := r.pos
	m, err := r.Byte()
	switch {
	case err != nil:
		return 0, false, err
	case m&0x02 != 0 && m < 4:
		return 0, false, Unsupported(at, "threads (shared globals)")
	case m > 1:
		return 0, false, &Error{Offset: at, Reason: "unknown mutability"}
	}
	return val, m == 1, nil
}

// Kind reads the kind of an import or export.
func (r *Reader) Kind() (byte, error) {
	at := r.pos
	k, err := r.Byte()
	switch {
	case err != nil:
		return 0, err
	case k == kindTag:
		return 0, Unsupported(at, "exception handling")
	case k > KindGlobal:
		return 0, &Error{Offset: at, Reason: "unknown kind of import or export"}
	}
	return k, nil
}
