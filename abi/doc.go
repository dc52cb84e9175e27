// Package abi is the contract between the Berth host and its guests, as Go
// values: the names and signatures of the functions a guest imports, result
// codes, limits, and the manifest a plugin carries. It needs nothing but the
// standard library and runs no WebAssembly.
//
// ABI.md in this directory is the contract as text; read it first. The files in
// testdata are golden vectors for the host and for every guest SDK.
//
// Everything here is a constant or a pure function, safe for concurrent use.
package abi
