package console_test

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// sources returns the text files of the console by their path below assets.
func sources(t *testing.T) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := filepath.WalkDir("assets", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(name)
		files[strings.TrimPrefix(filepath.ToSlash(name), "assets/")] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 14 {
		t.Fatalf("only %d files", len(files))
	}
	return files
}

// forbidden are ways from text to code or markup, and requests that leave the host. Guests
// and events choose the text that the console shows.
var forbidden = map[string]*regexp.Regexp{
	"text becomes markup":    regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|srcdoc=|setHTML`),
	"text becomes code":      regexp.MustCompile(`\beval\(|new Function|setTimeout\(["'\x60]|setInterval\(["'\x60]|javascript:[^,]`),
	"an inline handler":      regexp.MustCompile(`(?i)<[^>]*\son[a-z]+\s*=|setAttribute\(["']on`),
	"an inline style":        regexp.MustCompile(`(?i)<[^>]*\sstyle\s*=|<style|setAttribute\(["']style`),
	"an inline script":       regexp.MustCompile(`(?i)<script(?:\s+type="module")?\s*>`),
	"a request that leaves":  regexp.MustCompile(`(?i)\b(?:https?|wss?)://|:[^;]*\burl\([^;]*;|@import\b|["'(]//[a-z]`),
	"a secret in the script": regexp.MustCompile(`localStorage|sessionStorage|document\.cookie`),
}

// harmless are matches of forbidden that are no requests.
var harmless = []string{"http://www.w3.org/2000/svg"}

func TestSourcesNeitherRunTextNorLeaveTheHost(t *testing.T) {
	for name, text := range sources(t) {
		for _, known := range harmless {
			text = strings.ReplaceAll(text, known, "")
		}
		for what, pattern := range forbidden {
			if found := pattern.FindString(text); found != "" {
				t.Errorf("%s: %s: %q", name, what, found)
			}
		}
	}
}

func TestForbiddenSourcesAreFound(t *testing.T) {
	for what, text := range map[string]string{
		"text becomes markup":    "el.innerHTML = message",
		"text becomes code":      "setTimeout('go()', 1)",
		"an inline handler":      `<a href="/" onclick="go()">`,
		"an inline style":        `<p style="color: red">`,
		"an inline script":       "<script>go()</script>",
		"a request that leaves":  `fetch("https://example.com")`,
		"a secret in the script": "localStorage.token",
	} {
		if !forbidden[what].MatchString(text) {
			t.Errorf("%s is not found in %s", what, text)
		}
	}
}

var (
	imported = regexp.MustCompile(`(?m)^import (?:\{([^}]*)\}|\* as \w+) from "([^"]+)";`)
	exported = regexp.MustCompile(`(?m)^export (?:async )?(?:const|function\*?|class|let) ?\*? ?(\w+)`)
)

// Every import is of a file that there is, and of names that it exports and the importer uses.
func TestImportsAreThere(t *testing.T) {
	files, checked := sources(t), 0
	for name, text := range files {
		if path.Ext(name) != ".js" {
			continue
		}
		for _, match := range imported.FindAllStringSubmatch(text, -1) {
			target := path.Join(path.Dir(name), match[2])
			source, found := files[target]
			if !found {
				t.Errorf("%s imports %s, which does not exist", name, match[2])
				continue
			}
			var exports []string
			for _, export := range exported.FindAllStringSubmatch(source, -1) {
				exports = append(exports, export[1])
			}
			for want := range strings.SplitSeq(match[1], ",") {
				want = strings.TrimSpace(want)
				if want == "" {
					continue
				}
				checked++
				if !slices.Contains(exports, want) {
					t.Errorf("%s imports %s, which %s does not export", name, want, target)
				}
				if uses := regexp.MustCompile(`\b`+want+`\b`).FindAllString(text, -1); len(uses) < 2 {
					t.Errorf("%s imports %s and does not use it", name, want)
				}
			}
		}
	}
	if checked < 50 {
		t.Errorf("only %d imports were checked", checked)
	}
}

func TestScriptsAreComplete(t *testing.T) {
	for name, text := range sources(t) {
		if ext := path.Ext(name); ext != ".js" && ext != ".css" {
			continue
		}
		if err := balanced(text, path.Ext(name) == ".js"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for number, line := range strings.Split(text, "\n") {
			if strings.HasSuffix(line, " ") || strings.Contains(line, "\t") {
				t.Errorf("%s:%d: white space", name, number+1)
			}
		}
	}
}

func TestIncompleteScriptsAreFound(t *testing.T) {
	for text, want := range map[string]bool{
		"f({ a: [1, 2] });": true, "f(": false, "f(]": false, "f)": false, "'(' + \"[\"": true, "`${f(`}`)} (`": true, "`${f(`": false,
		"// (\nf()": true, "/* ( */": true, "/* (": false, "'a": false, "x = /[(/]\\/(/.test(y)": true, "x = /[(/]\\(/.test(y)": true, "x = /[(/]": false,
		"a / b / (c)": true, "return /\\(/": true, "f() / (g)": true,
	} {
		if err := balanced(text, true); (err == nil) != want {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// balanced reports brackets, strings, comments and regular expressions that do not end: what
// an interrupted or badly merged edit leaves. The browser tests run the scripts.
func balanced(text string, script bool) error {
	pairs := map[byte]byte{')': '(', ']': '[', '}': '{'}
	var open []byte // brackets, and a backquote for each template that is not closed
	at := 0
	until := func(end string, escapes bool) error {
		for ; at < len(text); at++ {
			switch {
			case escapes && text[at] == '\\':
				at++
			case strings.HasPrefix(text[at:], end):
				at += len(end) - 1
				return nil
			case len(end) == 1 && text[at] == '\n':
				return fmt.Errorf("a string does not end: line %d", strings.Count(text[:at], "\n")+1)
			}
		}
		return fmt.Errorf("%q does not come", end)
	}
	template := func() bool { // at is in a template; true when an expression begins
		for ; at < len(text); at++ {
			switch {
			case text[at] == '\\':
				at++
			case text[at] == '`':
				return false
			case strings.HasPrefix(text[at:], "${"):
				at++
				return true
			}
		}
		return false
	}
	var before byte // the last byte that is no white space
	for ; at < len(text); at++ {
		c := text[at]
		var err error
		switch {
		case script && strings.HasPrefix(text[at:], "//"):
			err = until("\n", false)
			at--
		case strings.HasPrefix(text[at:], "/*"):
			at += 2
			err = until("*/", false)
		case c == '"' || script && c == '\'':
			at++
			err = until(string(c), true)
		case script && c == '/' && beginsRegexp(text[:at], before):
			err = expression(text, &at)
		case script && c == '`':
			open = append(open, '`')
			at++
			if template() {
				open = append(open, '{')
			} else {
				open = open[:len(open)-1]
			}
		case c == '(' || c == '[' || c == '{':
			open = append(open, c)
		case pairs[c] != 0:
			if len(open) == 0 || open[len(open)-1] != pairs[c] {
				return fmt.Errorf("%q closes nothing: line %d", c, strings.Count(text[:at], "\n")+1)
			}
			open = open[:len(open)-1]
			if c == '}' && len(open) > 0 && open[len(open)-1] == '`' { // the template continues
				at++
				if template() {
					open = append(open, '{')
				} else {
					open = open[:len(open)-1]
				}
			}
		}
		if err != nil {
			return err
		}
		if at < len(text) && !strings.ContainsRune(" \n", rune(text[at])) {
			before = text[at]
		}
	}
	if len(open) > 0 || at > len(text) {
		return fmt.Errorf("%d brackets are not closed", len(open))
	}
	return nil
}

// beginsRegexp reports whether a slash after this text begins a regular expression and is no
// division.
func beginsRegexp(text string, before byte) bool {
	word := regexp.MustCompile(`(\w+)\s*$`).FindString(text)
	if word != "" {
		return strings.TrimSpace(word) == "return"
	}
	return before != ')' && before != ']' && before != '}'
}

// expression moves at to the end of the regular expression that begins there.
func expression(text string, at *int) error {
	class := false
	for *at++; *at < len(text) && text[*at] != '\n'; *at++ {
		switch text[*at] {
		case '\\':
			*at++
		case '[':
			class = true
		case ']':
			class = false
		case '/':
			if !class {
				return nil
			}
		}
	}
	return fmt.Errorf("a regular expression does not end")
}
