// Package config reads, checks, watches and edits the operator's configuration
// file, config/event_handlers.yaml.
//
// A Config is complete and valid; otherwise every problem is reported with its file,
// line and path. A hostile file costs bounded memory and time. An edit changes one
// setting: comments, order, blank lines and line ends of the file are preserved.
//
// Expressions (`when`) are kept as text; package route compiles them. Values of a
// handler's config may be secrets: no error and no Diff contains them.
//
// An Editor serialises the edits of one file: first by its own lock, then, for other
// processes, by a lock on the file's directory. All other types are plain values.
//
// Read config.go first, then settings.go and handlers.go, the tables of settings, and
// table.go for how they are used. editor.go stands alone; testdata/styles shows edits.
package config
