package main

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

var (
	documentLink    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	documentHeading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	notInAnchor     = regexp.MustCompile(`[^\p{L}\p{N}\s_-]`)
	documentPath    = regexp.MustCompile("`((?:host|abi|cmd|config|docs|plugins-src|testdata|\\.ci)/[A-Za-z0-9_./-]+)`")
)

// documents returns the paths of all documents of the repository, with their texts.
func documents(t *testing.T) map[string]string {
	t.Helper()
	texts := make(map[string]string)
	repository := os.DirFS(filepath.Join("..", ".."))
	err := fs.WalkDir(repository, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{".git", "bin", "data", "node_modules"}, d.Name()):
			return fs.SkipDir
		case path.Ext(name) == ".md":
			text, err := fs.ReadFile(repository, name)
			texts[name] = string(text)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

// exists reports whether the repository has a file or directory.
func exists(name string) bool {
	_, err := os.Stat(filepath.Join("..", "..", name))
	return err == nil
}

// anchors returns the anchors of a document's headings.
func anchors(text string) map[string]bool {
	list := make(map[string]bool)
	for _, m := range documentHeading.FindAllStringSubmatch(text, -1) {
		anchor := notInAnchor.ReplaceAllString(strings.ToLower(strings.TrimSpace(m[1])), "")
		list[strings.ReplaceAll(anchor, " ", "-")] = true
	}
	return list
}

// TestDocumentLinks holds that every relative link of a document leads to a file of
// the repository, and to a heading of it.
func TestDocumentLinks(t *testing.T) {
	texts := documents(t)
	for name, text := range texts {
		for _, m := range documentLink.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			target, anchor, _ := strings.Cut(m[1], "#")
			to := name
			if target != "" {
				to = path.Join(path.Dir(name), target)
			}
			if !exists(to) {
				t.Errorf("%s: the link %s: there is no %s", name, m[1], to)
			}
			if anchor != "" && !anchors(texts[to])[anchor] {
				t.Errorf("%s: the link %s: %s has no such heading", name, m[1], to)
			}
		}
	}
}

// TestDocumentPaths holds that the paths which the documents name exist. A list of
// changes and a tutorial also name others.
func TestDocumentPaths(t *testing.T) {
	for name, text := range documents(t) {
		if name == "CHANGELOG.md" || name == "docs/quickstart.md" {
			continue
		}
		for _, m := range documentPath.FindAllStringSubmatch(text, -1) {
			beside := path.Join(path.Dir(name), m[1])
			if !exists(m[1]) && !exists(beside) {
				t.Errorf("%s: there is no %s", name, m[1])
			}
		}
	}
}

// TestDocumentShape holds the size of README.md and RATIONALE.md, the length of lines
// outside of tables and blocks, and that the rationale has questions only.
func TestDocumentShape(t *testing.T) {
	texts := documents(t)
	for name, limit := range map[string]int{"README.md": 8 << 10, "RATIONALE.md": 25 << 10} {
		if n := len(texts[name]); n > limit {
			t.Errorf("%s has %d bytes, want at most %d: move details to docs/", name, n, limit)
		}
	}
	for name, text := range texts {
		inBlock := false
		for i, line := range strings.Split(text, "\n") {
			if strings.HasPrefix(line, "```") {
				inBlock = !inBlock
			}
			if n := utf8.RuneCountInString(line); n > 140 && !inBlock && !strings.HasPrefix(line, "|") {
				t.Errorf("%s:%d: %d columns, want at most 140", name, i+1, n)
			}
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^### (.+)$`).FindAllStringSubmatch(texts["RATIONALE.md"], -1) {
		if !strings.HasSuffix(m[1], "?") {
			t.Errorf("RATIONALE.md: the heading %q is no question", m[1])
		}
	}
}
