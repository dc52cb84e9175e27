package source

import (
	"errors"
	"fmt"

	"github.com/berth-host/berth/host/sandbox/meter"
	"github.com/berth-host/berth/host/sandbox/wasmbin"
)

// Query is what a Locator asks of a process with limits.
type Query struct {
	Offsets []uint64 `json:"offsets,omitempty"` // in the metered code; at most MaxOffsets
	Names   []string `json:"names,omitempty"`   // mangled
}

// Answer is the answer to a Query.
type Answer struct {
	Frames [][]Frame `json:"frames,omitempty"` // of each offset, as Resolve returns them
	Names  []string  `json:"names,omitempty"`  // demangled
}

// MaxOffsets is the largest number of offsets that Resolve takes at a time.
const MaxOffsets = 64

// Answer answers the query. The module is needed for offsets only. It is called in a process
// with limits.
func (q Query) Answer(module []byte) (a Answer, err error) {
	for _, name := range q.Names {
		a.Names = append(a.Names, Demangle(name))
	}
	if len(q.Offsets) > 0 {
		a.Frames, err = Resolve(module, q.Offsets)
	}
	return a, err
}

// Resolve returns the frames at offsets in the metered code of a module, by the debug
// information in the module: for each offset the innermost call first, several if calls were
// inlined, none if nothing is known. It is called in a process with limits.
func Resolve(module []byte, offsets []uint64) (found [][]Frame, err error) {
	defer func() { // debug/dwarf reads hostile input here
		if r := recover(); r != nil {
			found, err = nil, fmt.Errorf("the debug information cannot be read: %v", r)
		}
	}()
	if len(offsets) > MaxOffsets {
		return nil, fmt.Errorf("%d offsets at a time", len(offsets))
	}
	origins, err := meter.Origins(module, meter.Config{}, offsets)
	if err != nil {
		return nil, err
	}
	sections, err := customSections(module)
	if err != nil {
		return nil, err
	}
	found = make([][]Frame, len(offsets))
	err = errors.Join(resolveDWARF(sections, origins, found, Demangle), resolveMap(sections, origins, found))
	for i := range found {
		if origins[i].Again {
			found[i] = []Frame{{Again: true}}
		}
		if len(found[i]) > 0 {
			err = nil // what is known is better than nothing
		}
		found[i] = found[i][:min(len(found[i]), maxInlined)]
		for k := range found[i] {
			found[i][k] = found[i][k].Clean()
		}
	}
	return found, err
}

// customSections returns the contents of the custom sections. The first of a name counts.
func customSections(module []byte) (map[string][]byte, error) {
	walk, err := wasmbin.NewSections(module)
	if err != nil {
		return nil, err
	}
	sections := make(map[string][]byte)
	for {
		id, body, ok, err := walk.Next()
		if err != nil || !ok {
			return sections, err
		}
		if id != wasmbin.SectionCustom {
			continue
		}
		name, err := body.Name()
		if err != nil {
			return nil, err
		}
		if _, known := sections[string(name)]; !known {
			sections[string(name)] = body.Slice(body.Pos(), body.Pos()+body.Left())
		}
	}
}
