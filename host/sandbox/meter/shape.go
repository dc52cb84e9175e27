package meter

import (
	"bytes"

	"github.com/berth-host/berth/host/sandbox/wasmbin"
)

// shape has the properties of a function's type that the charge at its entry needs.
type shape struct {
	wrap   bool // its body can be wrapped: few parameters, at most one result
	params uint32
	result byte // the result's type, or wasmbin.BlockVoid

	results uint32
	wide    bool   // vectors are among the parameters or results
	same    uint32 // equal types have the same number
}

const maxRepeatedParams = 12 // more would let a small module make a large one

// addShape adds a type.
func (m *module) addShape(params, results []byte) {
	s := shapeOf(params, results)
	key := string(params) + "/" + string(results)
	if m.shapes == nil {
		m.shapes = make([]shape, 0, m.types)
		m.sameType = make(map[string]uint32)
	}
	same, ok := m.sameType[key]
	if !ok {
		same = uint32(len(m.sameType))
		m.sameType[key] = same
	}
	s.same = same
	m.shapes = append(m.shapes, s)
}

func shapeOf(params, results []byte) shape {
	s := shape{params: uint32(len(params)), results: uint32(len(results)), result: wasmbin.BlockVoid}
	s.wide = bytes.IndexByte(params, wasmbin.V128) >= 0 || bytes.IndexByte(results, wasmbin.V128) >= 0
	s.wrap = len(params) <= maxRepeatedParams && len(results) <= 1
	if len(results) == 1 {
		s.result = results[0]
	}
	return s
}
