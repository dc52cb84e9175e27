package prescan

// Import is one import. Kind is "func" or "global": others are refused.
type Import struct {
	Module, Name, Kind string
	Type               FuncType // of a func
}

// FuncType is a function's type. Its elements are "i32", "i64", "f32", "f64", "v128",
// "funcref" and "externref".
type FuncType struct{ Params, Results []string }

// Equal compares two types.
func (t FuncType) Equal(u FuncType) bool { return t.String() == u.String() }

// String is the type as (i32, i32) -> (i64).
func (t FuncType) String() string { return list(t.Params) + " -> " + list(t.Results) }

func list(types []string) string {
	s := "("
	for i, t := range types {
		if i > 0 {
			s += ", "
		}
		s += t
	}
	return s + ")"
}

// Export is one export. Kind is "func", "table", "memory" or "global".
type Export struct {
	Name, Kind string
	Type       FuncType // of a func
}

// Custom is a custom section.
type Custom struct {
	Name         string
	Offset, Size int // of its contents behind the name, in bytes
}

// Report describes a scanned module. After an error it describes the part before it.
type Report struct {
	Bytes     int
	Component bool // it is not a core module, as Scan's error states, too

	Imports []Import
	Exports []Export
	Customs []Custom
	// Manifest is the contents of the custom section berth.manifest, copied; nil if
	// there is none.
	Manifest []byte

	HasMemory    bool
	MemoryMin    uint32 // pages
	MemoryMax    uint32 // pages, if HasMemoryMax
	HasMemoryMax bool
	Tables       []uint32 // declared minimum of each, in elements

	Types        int
	Functions    int // defined by the module
	Globals      int
	Elements     int // of all segments together
	DataSegments int
	DataBytes    int
	CodeBytes    int

	// The largest of any function:
	LargestBody  int // bytes
	MaxLocals    int // parameters not counted
	MaxControls  int
	DeepestLoops int
	DeepestNest  int
	LargestTable int // labels of a br_table
	MaxParams    int // parameters or results of a type
}
