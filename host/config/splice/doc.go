// Package splice changes one key of a YAML text and no other byte.
//
// YAML's tree says where values start but not where they end, and writing a
// tree out again loses a person's layout. So this package only proposes: Set and
// Remove return texts, the best first, that should each hold the change, made by
// inserting or cutting one run of bytes. The caller parses them and takes the first
// that means exactly what it intended; it must never take one unparsed.
//
// It knows mappings whose keys are plain words, in block and flow style. Keys
// that are reached through an anchor, an alias or a tag are refused: an edit
// there may change more than one place.
//
// Read splice.go first.
package splice
