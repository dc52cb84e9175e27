// Package splice changes one key of a YAML text and no other byte.
//
// A YAML parser reports where values start but not where they end, and encoding the
// tree again loses the layout. So Set and Remove propose texts, the best first, each
// with one run of bytes inserted, replaced or cut. The caller parses the proposals and
// uses the first one that has exactly the intended meaning; it must never use one
// without parsing it.
//
// The package supports mappings whose keys are plain words, in block and flow style.
// Paths through an anchor, an alias or a tag are refused, because the edit could change
// several settings.
//
// Read splice.go first.
package splice
