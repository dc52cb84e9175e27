// Package abi is the contract between the Berth host and its guests, as Go
// values: the names and signatures of the functions a guest imports, result
// codes, limits, and the manifest a plugin carries. It needs nothing but the
// standard library and runs no WebAssembly.
//
// ABI.md in this directory is the contract in words; read it first. The files
// in testdata are golden vectors that the host and every guest SDK are run
// against.
//
// Everything here is a constant or a pure function, safe for concurrent use.
package abi
