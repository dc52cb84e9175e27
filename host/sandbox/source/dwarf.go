package source

import (
	"debug/dwarf"
	"encoding/binary"
	"slices"

	"github.com/berth-host/berth/host/sandbox/meter"
)

// call is a call whose source is looked for.
type call struct {
	pc       uint64
	covered  bool // a function has the address
	function string
	inlined  []inlined // the outermost first
	line     dwarf.LineEntry
	found    bool // line is set
	ended    bool // line is the end of a sequence: there is no code behind it
}

// inlined is a function that was inlined at a line of the one around it.
type inlined struct {
	function     string
	file         int64
	line, column int
}

// program is the DWARF of a module.
type program struct {
	data     *dwarf.Data
	info     []byte
	demangle func(string) string
}

// resolveDWARF fills in the frames that a module's DWARF knows.
func resolveDWARF(sections map[string][]byte, origins []meter.Origin, found [][]Frame, demangle func(string) string) error {
	p := program{info: sections[".debug_info"], demangle: demangle}
	if len(p.info) == 0 || len(sections[".debug_line"]) == 0 {
		return nil
	}
	var err error
	p.data, err = dwarf.New(sections[".debug_abbrev"], nil, nil, p.info, sections[".debug_line"], nil, sections[".debug_ranges"], sections[".debug_str"])
	if err != nil {
		return err
	}
	for _, name := range []string{".debug_addr", ".debug_line_str", ".debug_str_offsets", ".debug_rnglists"} {
		if contents, ok := sections[name]; ok {
			if err := p.data.AddSection(name, contents); err != nil {
				return err
			}
		}
	}
	calls := make([]call, len(origins))
	for i, o := range origins {
		calls[i].pc = uint64(o.Offset - o.Section)
	}
	starts := p.units()
	for i, start := range starts {
		end := dwarf.Offset(len(p.info))
		if i+1 < len(starts) {
			end = starts[i+1]
		}
		var here []int // indexes of the calls in this unit
		r := p.data.Reader()
		r.Seek(start)
		unit, err := r.Next()
		if err != nil || unit == nil || unit.Tag != dwarf.TagCompileUnit {
			continue
		}
		unbounded := unit.Val(dwarf.AttrRanges) == nil && unit.Val(dwarf.AttrHighpc) == nil // version 2
		for k, o := range origins {
			if o.Known && found[k] == nil && (unbounded || p.covers(unit, calls[k].pc)) {
				here = append(here, k)
			}
		}
		if len(here) == 0 {
			continue
		}
		p.walk(r, unit, end, calls, here)
		if unbounded {
			here = slices.DeleteFunc(here, func(k int) bool { return !calls[k].covered })
		}
		p.lines(unit, calls, here, found)
	}
	return nil
}

// units returns where the first entry of each unit is.
func (p *program) units() (starts []dwarf.Offset) {
	const shortHeader, typed = 11, 12
	for at := uint64(0); at+typed+1 < uint64(len(p.info)); {
		length := uint64(binary.LittleEndian.Uint32(p.info[at:]))
		if length >= 0xfffffff0 { // the 64-bit format, or reserved
			return starts
		}
		if length > 0 {
			start := at + shortHeader
			if version := binary.LittleEndian.Uint16(p.info[at+4:]); version >= 5 {
				start = at + typed
				if kind := p.info[at+6]; kind != 1 && kind != 3 { // not a compile or partial unit
					start = 0
				}
			}
			if start != 0 {
				starts = append(starts, dwarf.Offset(start))
			}
		}
		at += 4 + length
	}
	return starts
}

// covers reports whether an entry's code includes an address. Code that starts at 0 is dead:
// the linker has removed it.
func (p *program) covers(e *dwarf.Entry, pc uint64) bool {
	ranges, err := p.data.Ranges(e)
	if err != nil {
		return false
	}
	for _, r := range ranges {
		if r[0] != 0 && r[0] <= pc && pc < r[1] {
			return true
		}
	}
	return false
}

// walk reads the entries of a unit for the functions of calls.
func (p *program) walk(r *dwarf.Reader, unit *dwarf.Entry, end dwarf.Offset, calls []call, here []int) {
	if !unit.Children {
		return
	}
	for depth := 1; depth > 0; {
		e, err := r.Next()
		if err != nil || e == nil || e.Offset >= end {
			return
		}
		if e.Tag == 0 {
			depth--
			continue
		}
		if e.Children {
			depth++
		}
		if e.Tag != dwarf.TagSubprogram && e.Tag != dwarf.TagInlinedSubroutine {
			continue
		}
		for _, k := range here {
			if !p.covers(e, calls[k].pc) {
				continue
			}
			c := &calls[k]
			if e.Tag == dwarf.TagSubprogram {
				c.covered, c.function, c.inlined = true, p.name(e), nil
				continue
			}
			if len(c.inlined) == maxInlined {
				continue
			}
			file, _ := e.Val(dwarf.AttrCallFile).(int64)
			line, _ := e.Val(dwarf.AttrCallLine).(int64)
			column, _ := e.Val(dwarf.AttrCallColumn).(int64)
			c.inlined = append(c.inlined, inlined{p.name(e), file, int(line), int(column)})
		}
	}
}

// name returns a function's name, which may be in the entry that declares it.
func (p *program) name(e *dwarf.Entry) string {
	plain := ""
	for range 4 {
		if linkage, ok := e.Val(dwarf.AttrLinkageName).(string); ok && linkage != "" {
			return p.demangle(linkage)
		}
		if name, ok := e.Val(dwarf.AttrName).(string); ok && plain == "" {
			plain = name
		}
		at, ok := e.Val(dwarf.AttrAbstractOrigin).(dwarf.Offset)
		if !ok {
			at, ok = e.Val(dwarf.AttrSpecification).(dwarf.Offset)
		}
		if !ok || at == e.Offset {
			break
		}
		r := p.data.Reader()
		r.Seek(at)
		declared, err := r.Next()
		if err != nil || declared == nil {
			break
		}
		e = declared
	}
	return p.demangle(plain)
}

// lines finds the lines of calls in a unit's line table, and makes their frames. The entries of
// a table are not always in the order of their addresses: the last one at or before an
// address counts.
func (p *program) lines(unit *dwarf.Entry, calls []call, here []int, found [][]Frame) {
	r, err := p.data.LineReader(unit)
	if err != nil || r == nil {
		return
	}
	var next dwarf.LineEntry
	dead := false
	for first := true; r.Next(&next) == nil; {
		if first {
			dead = next.Address == 0
		}
		first = next.EndSequence
		if dead {
			continue
		}
		for _, k := range here {
			c := &calls[k]
			after := !c.found || next.Address > c.line.Address || next.Address == c.line.Address && (!next.EndSequence || c.ended)
			if next.Address <= c.pc && after {
				c.line, c.found, c.ended = next, true, next.EndSequence
			}
		}
	}
	dir, _ := unit.Val(dwarf.AttrCompDir).(string)
	files := r.Files()
	for _, k := range here {
		found[k] = calls[k].frames(files, dir)
	}
}

// frames returns the frames of a call, the innermost first.
func (c *call) frames(files []*dwarf.LineFile, dir string) (frames []Frame) {
	at := Frame{}
	if c.found && !c.ended && c.line.File != nil {
		at = Frame{File: fileName(c.line.File.Name, dir), Line: c.line.Line, Column: c.line.Column}
	}
	for i := len(c.inlined) - 1; i >= 0; i-- {
		in := c.inlined[i]
		at.Function = in.function
		frames = append(frames, at)
		at = Frame{Line: in.line, Column: in.column}
		if in.file >= 0 && in.file < int64(len(files)) && files[in.file] != nil {
			at.File = fileName(files[in.file].Name, dir)
		}
	}
	at.Function = c.function
	if len(frames) == 0 && at == (Frame{}) {
		return nil
	}
	return append(frames, at)
}
