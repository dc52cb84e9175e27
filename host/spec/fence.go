package spec

import "slices"

// Fence names the epoch in which a host owns a unit, such as a handler. A write with
// a fence is stored only in that epoch of its unit. An engine of one host has one
// epoch, 0, for every unit.
type Fence struct {
	Unit  string
	Epoch uint64
}

// Stale returns the fences whose epoch is not the present one of their unit.
func Stale(fences []Fence, present func(unit string) uint64) (stale []Fence) {
	for _, f := range fences {
		if f.Epoch != present(f.Unit) {
			stale = append(stale, f)
		}
	}
	return stale
}

// OneHost is the present epoch of every unit for an engine of one host.
func OneHost(string) uint64 { return 0 }

// Names reports whether one of the fences is of the unit.
func Names(fences []Fence, unit string) bool {
	return slices.ContainsFunc(fences, func(f Fence) bool { return f.Unit == unit })
}
