// Package c has the SDK for C and C++ as a file.
package c

import _ "embed"

//go:embed berth.h
var header string

// Header returns the SDK: the file berth.h.
func Header() string { return header }
