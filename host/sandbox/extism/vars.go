package extism

// Bounds of the variables of an instance without the capability kv.
const (
	MaxVars     = 1 << 20 // bytes together, with varOverhead for each
	varOverhead = 128
)

// Budget bounds memory, in bytes.
type Budget interface {
	Take(n int64) bool
	Give(n int64)
}

// Vars are the variables of an instance. Their memory is charged to a budget. They are for
// one goroutine. The zero value has none.
type Vars struct {
	values map[string][]byte
	stored int64
}

// Get returns the value of a variable.
func (v *Vars) Get(key string) (value []byte, found bool) {
	value, found = v.values[key]
	return value, found
}

// Set sets a variable to a copy of the value. over reports that all would be over MaxVars,
// and fits that the budget has the memory; otherwise nothing is changed.
func (v *Vars) Set(budget Budget, key string, value []byte) (fits, over bool) {
	grown := int64(len(value))
	if former, found := v.values[key]; found {
		grown -= int64(len(former))
	} else {
		grown += int64(len(key)) + varOverhead
	}
	switch {
	case v.stored+grown > MaxVars:
		return false, true
	case !budget.Take(grown):
		return false, false
	}
	v.stored += grown
	if v.values == nil {
		v.values = make(map[string][]byte)
	}
	v.values[key] = append([]byte(nil), value...)
	return true, false
}

// Remove removes a variable, if it is there.
func (v *Vars) Remove(budget Budget, key string) {
	if former, found := v.values[key]; found {
		freed := int64(len(former)+len(key)) + varOverhead
		delete(v.values, key)
		v.stored -= freed
		budget.Give(freed)
	}
}

// Release removes all.
func (v *Vars) Release(budget Budget) {
	budget.Give(v.stored)
	*v = Vars{}
}
