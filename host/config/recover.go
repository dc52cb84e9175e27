package config

import (
	"regexp"

	"github.com/berth-host/berth/host/config/file"
)

// Recover restores the former text of a configuration file whose overwriting a crash
// has interrupted (see file.Recover), and reports whether it restored anything. The
// copy is in the data directory: dataDir, or, when that is "", the one that the file
// names as far as it can be read, or the default one.
func Recover(path, dataDir string) (bool, error) {
	dirs := []string{dataDir}
	if dataDir == "" {
		dirs = []string{Default().DataDir}
		if text, err := Read(path); err == nil {
			for _, m := range dataDirLine.FindAllSubmatch(text, -1) {
				dirs = append(dirs, string(m[1]))
			}
			if c, err := Parse(path, text); err == nil {
				dirs = append(dirs, c.DataDir)
			}
		}
	}
	return file.Recover(path, dirs...)
}

// dataDirLine finds data_dir in a text that may be damaged.
var dataDirLine = regexp.MustCompile(`(?m)data_dir["']?:[ \t]*["']?([^"'\s#]+)`)
