// Package live owns the configuration in force: the parsed file, and the routes,
// schemas and schedules compiled from it. It loads them, watches and reloads the file, and edits it for the
// API and for installs.
//
// Guarantees: a file with an error changes nothing. An edit is made in the
// configuration that is in force; a change of the file by hand is checked and applied
// before it, as by a reload. An edit parses the new text and compiles its routes once;
// an unchanged file is neither parsed nor compiled again, unless a schema file has changed.
// Configuration and what is compiled from it change together.
//
// In a cluster (Join) decisions of the API are shared documents instead, which count more than
// the file of each host for the keys that they set; the file is not edited. A decision is stored
// before it is in force, by a host that knows the present revision; the others follow (Follow).
//
// Lock order: Live.mu, then the editor's lock and the plugins' loop. The plugins' loop
// reads the configuration without a lock. Read live.go first.
package live
