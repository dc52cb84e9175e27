// Package extism implements the host's side of Extism: the functions of the module
// extism:host/env, which plugins made with an Extism PDK import.
//
// Such a plugin exchanges data with its host by way of blocks in a memory that is neither's
// own, the kernel's. A block is named by its offset there, never 0. The kernel's tables are
// apart from that memory, so that a guest can spoil its own data and nothing else. Every
// block is freed when the next call begins.
//
// The work of a function does not depend on the numbers that a guest passes, or the guest is
// charged for it. The package knows no runtime; a Kernel belongs to one goroutine.
//
// Read function.go first, then kernel.go.
package extism
