// Package assemblyscript has the files of the AssemblyScript SDK, for new projects.
package assemblyscript

import "embed"

// Files are the SDK's sources.
//
//go:embed assembly
var Files embed.FS
