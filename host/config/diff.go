package config

import (
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
	before, after := states(old, configFields()), states(new, configFields())
	var lines []string
	for _, path := range sortedKeys(before, after) {
		was, is := before[path], after[path]
		var line string
		switch {
		case was.text == is.text:
			continue
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

// Restarts returns the settings, by path, that are read only when the host starts
// and are others in the file than in what it has begun with. Never nil.
func Restarts(begun, file *Config) []string {
	before, after := states(begun, configFields()), states(file, configFields())
	waits := startSettings()
	paths := []string{}
	for _, path := range sortedKeys(before, after) {
		if waits[path] && before[path].text != after[path].text {
			paths = append(paths, path)
		}
	}
	return paths
}

// startSettings are the paths of the settings that are read only when the host starts.
func startSettings() map[string]bool {
	paths := make(map[string]bool)
	for _, f := range configFields() {
		if f.restart {
			paths[f.path] = true
		}
	}
	return paths
}
