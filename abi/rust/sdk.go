// Package rust has the files of the Rust SDK, for new projects.
package rust

import "embed"

// Files are the crate's sources.
//
//go:embed Cargo.toml src
var Files embed.FS
