package backup

import (
	"regexp"
	"slices"
	"strings"
)

// Names in a backup.
const (
	// ConfigName is the configuration file.
	ConfigName = "event_handlers.yaml"
	// WatchedDir has a directory for each watched directory, named by a number from 0.
	WatchedDir = "watched"
	modulesDir = ".store/sha256"
)

// inDataDir matches the files of a data directory that a backup has, besides the store.
var inDataDir = regexp.MustCompile(`^(` + strings.Join([]string{
	`plugins\.lock\.yaml(\.last)?`,
	`\.store/sha256/[0-9a-f]{64}\.wasm`,
	`tokens/[a-z2-7]{16}\.json`,
	`tokens\.used\.json`, // when tokens were used last
	`marketplace\.json`,  // the newest list that was seen: an older one is refused
	`audit\.log(\.[1-9])?`,
}, "|") + `)$`)

// inWatched matches a plugin file of a watched directory.
var inWatched = regexp.MustCompile(`^` + WatchedDir + `/[0-9]{1,4}/[^/.][^/]*\.wasm(\.json)?$`)

// searched are the directories of the data directory in which inDataDir matches files.
func searched() []string { return []string{".", "tokens", modulesDir} }

// transient matches the files and directories of a data directory that a host makes again.
var transient = regexp.MustCompile(`^(berth\.db.*|cache|downloads|host\.json|install\.(lock|journal)|\.backup|.*\.tmp)$`)

// allowed reports whether a backup may have a file of this name.
func allowed(name, storeFile string) bool {
	return name == storeFile || name == ConfigName || inDataDir.MatchString(name) || inWatched.MatchString(name)
}

// excluded returns the names of a data directory that a backup does not have, and that a
// host does not make again, in order.
func excluded(names []string) []string {
	list := slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return transient.MatchString(name) || inDataDir.MatchString(name) || slices.ContainsFunc(searched(), func(dir string) bool {
			top, _, _ := strings.Cut(dir, "/")
			return name == top
		})
	})
	slices.Sort(list)
	return list[:min(len(list), maxExcluded)]
}

const maxExcluded = 100
