package prescan

import "strconv"

// Limits are the upper bounds of a module's parts. A zero field means its default,
// in parentheses: all tested bombs exceed it, and known legitimate modules are far
// below it.
type Limits struct {
	ModuleBytes   int // the whole module (64 MiB)
	BodyBytes     int // one function's body (256 KiB)
	Locals        int // locals of one function, parameters not counted (4,096)
	Controls      int // block, loop and if in one function (8,192)
	LoopNest      int // loops inside each other (32)
	BlockNest     int // blocks, loops and ifs inside each other (2,048)
	BrTable       int // labels of one br_table (8,192)
	Params        int // parameters of one type, and results of one (64)
	Types         int // types (4,000)
	Functions     int // functions, imports included (20,000)
	Imports       int // imports (1,000)
	Exports       int // exports (10,000)
	Globals       int // globals (10,000)
	Tables        int // tables (4)
	TableElements int // declared minimum of one table (100,000)
	Elements      int // elements of all segments together (200,000)
	DataSegments  int // data segments (100,000)
	MemoryPages   int // declared minimum, in pages of 64 KiB (65,535)
	CustomBytes   int // the custom sections together (the module's limit)
	NameBytes     int // one name of an import, export or custom section (4,096)
}

// WithDefaults are the limits with every zero field replaced by its default.
func (l Limits) WithDefaults() Limits {
	set := func(field *int, value int) {
		if *field <= 0 {
			*field = value
		}
	}
	set(&l.ModuleBytes, 64<<20)
	set(&l.BodyBytes, 256<<10)
	set(&l.Locals, 4096)
	set(&l.Controls, 8192)
	set(&l.LoopNest, 32)
	set(&l.BlockNest, 2048)
	set(&l.BrTable, 8192)
	set(&l.Params, 64)
	set(&l.Types, 4000)
	set(&l.Functions, 20000)
	set(&l.Imports, 1000)
	set(&l.Exports, 10000)
	set(&l.Globals, 10000)
	set(&l.Tables, 4)
	set(&l.TableElements, 100000)
	set(&l.Elements, 200000)
	set(&l.DataSegments, 100000)
	set(&l.MemoryPages, 65535)
	set(&l.CustomBytes, l.ModuleBytes)
	set(&l.NameBytes, 4096)
	return l
}

// Error is the reason why a module is refused.
type Error struct {
	Offset   int    // from the start of the module, in bytes
	Section  string // the specification's name of the section, or "header"
	Function int    // index of the function, imports counted; -1 when not in one

	// The exceeded limit's name, the measured value and the limit; Limit is "" when
	// the module is refused for another reason.
	Limit    string
	Got, Max uint64
	Reason   string // the whole sentence, without the place
	Feature  string // the WebAssembly feature that is not run, if that is the reason
}

func (e *Error) Error() string {
	s := e.Reason + " (" + e.Section + " section"
	if e.Function >= 0 {
		s += ", function " + strconv.Itoa(e.Function)
	}
	return s + ", byte " + strconv.Itoa(e.Offset) + ")"
}

// amount formats n: 1.2 MiB, 20,000.
func amount(n uint64, bytes bool) string {
	if bytes {
		switch {
		case n >= 1<<20:
			return decimal(n, 1<<20) + " MiB"
		case n >= 1<<10:
			return decimal(n, 1<<10) + " KiB"
		}
		return strconv.FormatUint(n, 10) + " bytes"
	}
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// decimal formats n in a unit with one digit after the point if it is not 0, rounded
// up: a value over a limit must not read as the limit.
func decimal(n, unit uint64) string {
	tenths := n/unit*10 + (n%unit*10+unit-1)/unit
	s := strconv.FormatUint(tenths/10, 10)
	if tenths%10 != 0 {
		s += "." + strconv.FormatUint(tenths%10, 10)
	}
	return s
}
