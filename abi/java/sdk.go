// Package java has the sources of the SDK for handlers in Java and Kotlin.
package java

import "embed"

// Source is the package berth, in the directory "src".
//
//go:embed src
var Source embed.FS
