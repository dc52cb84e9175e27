package config

import (
	"strconv"

	"gopkg.in/yaml.v3"
)

// Locate returns the line on which the value at a way of keys and indices
// stands in a text that Parse has taken, or the line of the nearest that is there
// above it; 1 at the least. Package host uses it for what only other parts can
// check.
func Locate(data []byte, way ...string) int {
	root, err := parseYAML("", data)
	if err != nil || root == nil {
		return 1
	}
	line, n := root.Line, root
	for _, name := range way {
		key, value := below(n, name, 0)
		if value == nil {
			break
		}
		line, n = key.Line, value
	}
	return max(line, 1)
}

// below finds what a mapping, with those merged into it, or a list has at a name.
func below(n *yaml.Node, name string, depth int) (key, value *yaml.Node) {
	for range maxDepth {
		if n.Kind != yaml.AliasNode {
			break
		}
		n = n.Alias
	}
	if depth > maxDepth {
		return nil, nil
	}
	switch n.Kind {
	case yaml.SequenceNode:
		if i, err := strconv.ParseUint(name, 10, 31); err == nil && i < uint64(len(n.Content)) {
			return n.Content[i], n.Content[i]
		}
	case yaml.MappingNode:
		var merged []*yaml.Node
		for i := 0; i+1 < len(n.Content); i += 2 {
			switch k := n.Content[i]; {
			case k.ShortTag() == "!!merge":
				merged = append(merged, n.Content[i+1])
			case k.Value == name && k.Kind == yaml.ScalarNode:
				return k, n.Content[i+1]
			}
		}
		for _, m := range merged {
			for range maxDepth {
				if m.Kind != yaml.AliasNode {
					break
				}
				m = m.Alias
			}
			from := []*yaml.Node{m}
			if m.Kind == yaml.SequenceNode {
				from = m.Content
			}
			for _, part := range from {
				if k, v := below(part, name, depth+1); v != nil {
					return k, v
				}
			}
		}
	}
	return nil, nil
}
