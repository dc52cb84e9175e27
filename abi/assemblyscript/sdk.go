// Package assemblyscript has the files of the AssemblyScript SDK, for new projects.
package assemblyscript

import "embed"

// Files are the SDK's sources, and a transform of the compiler.
//
//go:embed assembly transform.mjs
var Files embed.FS
