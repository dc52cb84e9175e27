package document

import "strconv"

// Locate returns the line of the value at a path of keys and indices in a valid text,
// or the line of the nearest value above it that exists; at least 1.
func Locate(data []byte, path ...string) int {
	root, err := parseYAML("", data)
	if err != nil || root == nil {
		return 1
	}
	d := &Document{budget: maxExpansion}
	v := d.at(root, nil, "")
	line := v.line
	for _, name := range path {
		next, at, found := v.member(name)
		if !found {
			break
		}
		v, line = next, at
	}
	return max(line, 1)
}

// member returns the value of a key or at an index, and its line.
func (v Value) member(name string) (member Value, line int, found bool) {
	switch v.Tag() {
	case "!!map":
		for _, e := range v.Entries() {
			if e.Key == name {
				return e.Value, e.Line, true
			}
		}
	case "!!seq":
		items := v.Items()
		if i, err := strconv.ParseUint(name, 10, 31); err == nil && i < uint64(len(items)) {
			return items[i], items[i].line, true
		}
	}
	return v, 0, false
}
