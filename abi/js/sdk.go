// Package js has the files of the SDK for JavaScript and TypeScript, for new projects.
package js

import "embed"

// Files are the SDK: an npm package that handlers import, and the program that builds them.
//
//go:embed README.md package.json package-lock.json berth.d.ts index.js second.js runtime.js glue.wat bin/*.mjs lib/*.mjs
var Files embed.FS
