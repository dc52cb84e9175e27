//go:build race

package store

import "flag"

// The race detector makes the comparisons with models many times slower, and more random
// inputs do not show more races: make test runs all of them.
func init() {
	if err := flag.Set("rapid.checks", "20"); err != nil {
		panic(err)
	}
}
