package jsonscan

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode"
)

// Repeated returns a key that an object anywhere in a JSON text has twice, or twice
// but for the case of its letters: readers differ in which they take, and
// encoding/json takes the last of either. Text that is not JSON has none.
func Repeated(text []byte) (key string, found bool) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	type level struct {
		seen  map[string]bool // of an object; nil for a list
		value bool            // of an object: a value is next
	}
	var open []level
	for {
		token, err := dec.Token()
		if err != nil {
			return "", false
		}
		var top *level
		if len(open) > 0 {
			top = &open[len(open)-1]
		}
		switch token {
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
			continue
		}
		if top != nil && top.seen != nil {
			if top.value = !top.value; top.value { // a key
				name, _ := token.(string)
				if folded := strings.Map(fold, name); top.seen[folded] {
					return name, true
				} else {
					top.seen[folded] = true
				}
				continue
			}
		}
		switch token {
		case json.Delim('{'):
			open = append(open, level{seen: make(map[string]bool)})
		case json.Delim('['):
			open = append(open, level{})
		}
	}
}

// fold is the least of the letters that differ from r in case only.
func fold(r rune) rune {
	least := r
	for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
		least = min(least, other)
	}
	return least
}
