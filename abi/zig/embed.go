// Package zig has the SDK for Zig as a file.
package zig

import _ "embed"

//go:embed berth.zig
var source string

// Source returns the SDK: the file berth.zig.
func Source() string { return source }
