// Package prescan checks a WebAssembly module before any other code reads it. It
// refuses modules that would cost a decoder or compiler too much time or memory by
// their counts, bodies, locals or nesting, and features that the host does not run.
//
// It reads each byte once, front to back, in time linear in the module's size. It
// never panics or recurses, and allocates less than 24 bytes for each byte of
// input, plus 8 MiB at the default limits, before it has refused or accepted. In an
// accepted module every count fits the bytes behind it and is within Limits; the module
// need not be valid. Scan also reports imports and exports, from which the host
// determines the plugin's style without running it.
//
// Everything here is safe for concurrent use. Read prescan.go first.
package prescan
