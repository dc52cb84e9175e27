// Package config reads, checks, watches and edits the operator's configuration
// file, config/event_handlers.yaml.
//
// It promises that a Config is either whole and valid or absent with every
// problem named by file, line and path; that a hostile file costs bounded
// memory and time; and that an edit changes the one thing it says and nothing
// else: comments, order, blank lines and line ends of a person's file survive.
//
// Expressions (`when`) are kept as text here; package route compiles them.
// Values of a handler's config may be secrets: no error and no Diff shows them.
//
// An Editor serialises the edits of one file: first by its own lock, then, for
// other processes, by a lock on the file's directory. Everything else is values.
//
// Read config.go first, then sections.go for what each key takes; editor.go by
// itself, with testdata/styles for what edits look like.
package config
