package toolchain

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
)

// Language is a language in which handlers are written.
type Language struct {
	Name  string // as in --lang: rust
	Title string // Rust
	Main  string // path of the file of a new project to begin with; NAME stands for the project's name
	Tools []Tool // what a build needs, in the order of use
	// Detect reports whether a directory is a project in this language.
	Detect func(dir fs.FS) bool
	// Build writes the module to b.Output.
	Build func(ctx context.Context, b *Build) error
	// SDK returns the files that a new project has in its directory berth, by their paths.
	SDK func() (map[string][]byte, error)
}

// Tool is a program, or a set of files, that a build needs.
type Tool struct {
	Name     string   // for people, and for Build.Run: clang 19
	Commands []string // names or absolute paths of executables; the first that is found is used
	Files    []string // for what is no command, such as a library: absolute paths, one of which exists
	Version  []string // arguments that print the version; nil for Files
	Install  string   // the exact command that installs it
}

// Languages returns every language, in the order in which they are listed.
func Languages() []Language {
	return []Language{
		goLanguage(),
		cLanguage(),
		cppLanguage(),
		rustLanguage(),
		assemblyScriptLanguage(),
		zigLanguage(),
		javaScriptLanguage(),
		typeScriptLanguage(),
		pythonLanguage(),
		javaLanguage(),
		kotlinLanguage(),
	}
}

// Names returns the names of the languages.
func Names() (names []string) {
	for _, l := range Languages() {
		names = append(names, l.Name)
	}
	return names
}

// Named returns the language of this name.
func Named(name string) (Language, error) {
	for _, l := range Languages() {
		if l.Name == name {
			return l, nil
		}
	}
	return Language{}, fmt.Errorf("%q is not a language that is known here: there are %s", name, strings.Join(Names(), ", "))
}

// Detect returns the language of the project in a directory.
func Detect(dir fs.FS) (Language, error) {
	var found []Language
	var names []string
	for _, l := range Languages() {
		if l.Detect(dir) {
			found, names = append(found, l), append(names, l.Name)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return Language{}, fmt.Errorf("it has no files of a handler in any language that is known here (%s): 'berth plugin new' makes a "+
			"project, and --lang says which language it is", strings.Join(Names(), ", "))
	}
	return Language{}, fmt.Errorf("it has files of %s: give --lang", strings.Join(names, " and "))
}

// anyFile reports whether a directory has a file that fits one of these patterns, as those
// of fs.Glob.
func anyFile(dir fs.FS, patterns ...string) bool {
	for _, pattern := range patterns {
		if found, _ := fs.Glob(dir, pattern); len(found) > 0 {
			return true
		}
	}
	return false
}
