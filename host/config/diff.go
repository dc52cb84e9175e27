package config

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// Diff says what changed, one line for each setting, in the file's words and
// sorted: "handlers.fraud-check.enabled: true → false". waiting are the paths,
// from Restarts, that take effect when the host starts again, and say so. A
// handler's config may hold what is not for everybody's eyes: it is named, not
// shown.
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

// Restarts returns the settings, by path, that are read only when the host starts
// and are others in the file than in what it has begun with. Never nil.
func Restarts(begun, file *Config) []string {
	start, paths := startSettings(), []string{}
	for _, c := range changes(begun, file) {
		if start[c.path] {
			paths = append(paths, c.path)
		}
	}
	return paths
}

// startSettings are the paths of the settings that are read only when the host starts.
func startSettings() map[string]bool {
	paths := make(map[string]bool)
	for _, f := range configTable(new(Config)).fields {
		if f.restart {
			paths[f.path] = true
		}
	}
	return paths
}
