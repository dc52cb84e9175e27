// Package prescan looks through a WebAssembly module before anything else does, and
// refuses what would cost the host too much to look at: bombs of counts, bodies,
// locals and nesting that make a decoder or compiler run for long or out of
// memory, and features the host does not run.
//
// It reads each byte once, front to back, in time linear in the module's size. It
// never panics or recurses, and allocates less than 24 bytes for each byte of
// input, plus 8 MiB at the default limits, before it has refused or accepted. It promises that every
// count in the module is one its bytes can hold and is inside Limits; not that
// the module is valid. It also reports what the host needs in order to tell the
// plugin's style without running it.
//
// Everything here is safe for concurrent use. Read prescan.go first.
package prescan
