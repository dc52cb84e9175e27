package config

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// Diff returns what changed, a line for each setting, sorted by path:
// "handlers.fraud-check.enabled: true → false". The settings in waiting, from
// Restarts, are marked as taking effect at the next start. The values of a handler's
// config are not shown.
func Diff(old, new *Config, waiting []string) []string {
	var lines []string
	for _, c := range changes(old, new) {
		was, is, path := c.was, c.is, c.path
		var line string
		switch {
		case was.secret || is.secret:
			line = path + ": changed"
		case was.text == "":
			line = fmt.Sprintf("%s: added, %s", path, is.text)
		case is.text == "":
			line = fmt.Sprintf("%s: removed, was %s", path, was.text)
		default:
			line = fmt.Sprintf("%s: %s → %s", path, was.text, is.text)
		}
		if slices.Contains(waiting, path) {
			line += " (from the next start on)"
		}
		lines = append(lines, line)
	}
	if len(lines) > 0 || same(old, new) {
		return lines
	}
	for _, name := range slices.Sorted(maps.Keys(old.Handlers)) {
		if _, kept := new.Handlers[name]; !kept {
			lines = append(lines, "handlers."+name+": removed, had no settings")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(new.Handlers)) {
		if _, known := old.Handlers[name]; !known {
			lines = append(lines, "handlers."+name+": added, has no settings")
		}
	}
	if len(lines) == 0 {
		lines = append(lines, "the order of routes or lists changed")
	}
	return lines
}

// change is a setting whose text differs between two configurations.
type change struct {
	path    string
	was, is state
}

// changes returns what differs, by path.
func changes(old, new *Config) (list []change) {
	before, after := configTable(old).states(), configTable(new).states()
	for path, s := range before {
		if s.text != after[path].text {
			list = append(list, change{path, s, after[path]})
		}
	}
	for path, s := range after {
		if _, found := before[path]; !found && s.text != "" {
			list = append(list, change{path, state{}, s})
		}
	}
	slices.SortFunc(list, func(a, b change) int { return cmp.Compare(a.path, b.path) })
	return list
}

// Restarts returns the paths of the settings that are read only when the host starts
// and have other values in the file than at the start. Never nil.
func Restarts(started, file *Config) []string {
	start, paths := startSettings(), []string{}
	for _, c := range changes(started, file) {
		if start[c.path] {
			paths = append(paths, c.path)
		}
	}
	return paths
}

// startSettings returns the paths of the settings that are read only when the host starts.
func startSettings() map[string]bool {
	paths := make(map[string]bool)
	for _, f := range configTable(new(Config)).fields {
		if f.restart {
			paths[f.path] = true
		}
	}
	return paths
}
