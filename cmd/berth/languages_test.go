package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/berth-host/berth/testdata/languages"
)

// TestFixturesOfLanguagesAreFresh fails when the sources of a handler have changed since
// make guests built its fixture.
func TestFixturesOfLanguagesAreFresh(t *testing.T) {
	root := os.DirFS(filepath.Join("..", ".."))
	for _, l := range languages.All() {
		if err := l.Check(root); err != nil {
			t.Error(err)
		}
	}
}
