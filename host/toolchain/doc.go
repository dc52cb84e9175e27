// Package toolchain knows how handlers are written in each language: it makes a new project,
// finds the tools, builds the module and embeds the manifest.
//
// Each language is one file with one function that returns its Language; Languages lists
// them. A new project is the files of templates/<name> and of templates/shared, and the SDK's
// files in the directory berth, so that it builds at once and offline.
//
// The functions keep no state and are safe for concurrent use; two builds of one project at
// the same time use its directories of intermediate files at the same time, as far as the
// language's tools allow that.
//
// Read language.go first, then project.go.
package toolchain
