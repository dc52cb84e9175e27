// Package testdata has the vectors of the ABI for packages that embed them.
package testdata

import _ "embed"

// Pointer is pointer.json: documents, JSON Pointers and the values that field yields.
//
//go:embed pointer.json
var Pointer []byte
