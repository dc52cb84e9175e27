package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// documentTimeout bounds each command of a document, compilation of the example
// handlers included. Only a hang exceeds it.
const documentTimeout = 10 * time.Minute

// TestDocuments runs every command of every document with blocks of the language
// console, in order, in a copy of the repository, against the real binary, and
// compares the output with the one shown. Ids, keys, times, durations and addresses
// match any other, and stand for the real ones in later commands and files; "…"
// matches any text of a line and, alone on a line, any number of lines. A command that
// only reads is repeated until its output matches, because deliveries take a moment.
// An export command sets variables for all commands after it.
func TestDocuments(t *testing.T) {
	berth := buildBerth(t)
	run := 0
	for name, text := range documents(t) {
		if !strings.Contains(text, "\n```console\n") {
			continue
		}
		run++
		t.Run(name, func(t *testing.T) {
			blocks, err := fencedBlocks(text)
			if err != nil {
				t.Fatal(err)
			}
			w := newDocumentWorkspace(t, berth)
			for _, b := range blocks {
				if b.file != "" {
					w.create(b.file, w.real(b.text))
				}
				for _, s := range b.steps() {
					w.run(s)
				}
			}
		})
	}
	if run < 5 {
		t.Errorf("%d documents have commands, want README.md and some of docs/", run)
	}
}

// fencedBlock is one fenced block of a document.
type fencedBlock struct {
	language string
	file     string // the path to create with its text; "" for none
	text     string
	line     int // of its first line
}

// step is one command and the output shown for it.
type step struct {
	line    int
	command string
	want    string
}

// fencedBlocks returns the blocks of a document. A language that could hide
// commands from the test is an error.
func fencedBlocks(document string) (blocks []fencedBlock, err error) {
	var open *fencedBlock
	for i, line := range strings.Split(document, "\n") {
		fence, isFence := strings.CutPrefix(line, "```")
		switch {
		case isFence && open == nil:
			language, file, _ := strings.Cut(fence, " file=")
			if !slices.Contains([]string{"", "console", "go", "json", "text", "yaml"}, language) {
				return nil, fmt.Errorf("line %d: commands are in blocks of the language console, not %q", i+1, language)
			}
			open = &fencedBlock{language: language, file: file, line: i + 2}
		case isFence:
			blocks = append(blocks, *open)
			open = nil
		case open != nil:
			open.text += line + "\n"
		}
	}
	if open != nil {
		return nil, fmt.Errorf("line %d: the block is not closed", open.line-1)
	}
	return blocks, nil
}

// steps returns the commands of a console block.
func (b fencedBlock) steps() (steps []step) {
	if b.language != "console" {
		return nil
	}
	for i, line := range strings.Split(strings.TrimSuffix(b.text, "\n"), "\n") {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			steps = append(steps, step{line: b.line + i, command: command})
		} else if n := len(steps); n > 0 {
			steps[n-1].want += line + "\n"
		}
	}
	return steps
}

// documentWorkspace is a copy of the repository in which a document's commands run.
type documentWorkspace struct {
	t       *testing.T
	dir     string
	env     []string
	exports string            // the export commands so far, each with a newline
	shown   map[string]string // a document's ids, keys and addresses: the real ones
}

// buildBerth builds the binary without the race detector, with which compiling a
// handler in Go takes more than the vet's limit of CPU time.
func buildBerth(t *testing.T) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "berth")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", file, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return file
}

// newDocumentWorkspace copies what the commands need: sources, the configuration
// with a free port, and small guests. bin/curl is this test binary.
func newDocumentWorkspace(t *testing.T, berth string) *documentWorkspace {
	t.Helper()
	w := &documentWorkspace{t: t, dir: t.TempDir(), shown: make(map[string]string)}
	repository := os.DirFS(filepath.Join("..", ".."))
	for _, tree := range []string{"Makefile", "go.mod", "go.sum", "abi", "cmd/demo", "config", "host", "plugins-src", "testdata/guests", "testdata/languages"} {
		err := fs.WalkDir(repository, tree, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				if d != nil && slices.Contains([]string{"testdata", "node_modules", "target"}, d.Name()) { // the others are what builds leave
					return fs.SkipDir
				}
				return err
			}
			if !d.Type().IsRegular() || strings.HasSuffix(path, "_test.go") {
				return nil
			}
			text, err := fs.ReadFile(repository, path)
			if err == nil {
				w.create(path, string(text))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	configuration := filepath.Join(w.dir, "config", "event_handlers.yaml")
	text, err := os.ReadFile(configuration)
	if err != nil {
		t.Fatal(err)
	}
	w.create("config/event_handlers.yaml", string(text)+"\nserver: {listen: \"127.0.0.1:0\"}\n")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(w.dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"berth": berth, "curl": self} {
		if err := os.Symlink(target, filepath.Join(w.dir, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if !strings.HasPrefix(name, "BERTH_") && !slices.Contains([]string{"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "PATH"}, name) {
			w.env = append(w.env, v)
		}
	}
	w.env = append(w.env, "CGO_ENABLED=0", "PATH="+filepath.Join(w.dir, "bin")+string(os.PathListSeparator)+os.Getenv("PATH"))
	return w
}

// create writes a file of the workspace.
func (w *documentWorkspace) create(path, text string) {
	w.t.Helper()
	path = filepath.Join(w.dir, filepath.FromSlash(path))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

var (
	shellComment = regexp.MustCompile(`\s+#.*$`)
	readOnly     = regexp.MustCompile(`^(curl|(bin/)?berth (plugin (list|show)|events (show|list|log|dead-letters list)|orders (show|list)|marketplace search))\b`)
	foreground   = regexp.MustCompile(`^berth (serve|marketplace serve)\b`)
)

// run runs one command and compares its output.
func (w *documentWorkspace) run(s step) {
	w.t.Helper()
	command := w.real(shellComment.ReplaceAllString(s.command, ""))
	switch {
	case strings.HasPrefix(command, "export "): // is for the commands after it
		w.exports += command + "\n"
		return
	case command == "make test": // which runs this test
		w.requireTarget("test")
		return
	case command == "make run":
		w.requireTarget("run")
		w.start(s, "make -o build run") // bin/berth is there
		return
	case foreground.MatchString(command):
		w.start(s, command+" --listen 127.0.0.1:0")
		if strings.HasPrefix(command, "berth serve") {
			w.run(step{s.line, "berth plugin list", "…"}) // until the host answers
		}
		return
	}
	pattern := w.pattern(s)
	deadline := time.Now().Add(documentTimeout)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		cmd := exec.CommandContext(w.t.Context(), "sh", "-c", w.exports+command)
		cmd.Dir, cmd.Env = w.dir, w.env
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if errors.As(err, &exit) && strings.Contains(s.want, "berth: ") {
			err = nil // the document shows an error
		}
		if err == nil && pattern.match(string(out), w.shown) {
			return
		}
		if !readOnly.MatchString(command) || time.Now().After(deadline) {
			w.t.Fatalf("line %d: $ %s\ngot (%v):\n%s\nwant:\n%s", s.line, s.command, err, out, s.want)
		}
		<-tick.C
	}
}

// pattern returns the pattern of a step's output.
func (w *documentWorkspace) pattern(s step) outputPattern {
	w.t.Helper()
	p, err := newOutputPattern(s.want)
	if err != nil {
		w.t.Fatalf("line %d: %v", s.line, err)
	}
	return p
}

// real replaces what a document shows by what its commands printed.
func (w *documentWorkspace) real(text string) string {
	for shown, real := range w.shown {
		text = strings.ReplaceAll(text, shown, real)
	}
	return text
}

// requireTarget fails the test unless the Makefile has a target.
func (w *documentWorkspace) requireTarget(name string) {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join(w.dir, "Makefile"))
	if err != nil {
		w.t.Fatal(err)
	}
	if !regexp.MustCompile(`(?m)^` + name + `:`).Match(text) {
		w.t.Fatalf("the Makefile has no target %s", name)
	}
}

// lockedBuffer is a buffer that a process writes while the test reads it.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// start runs a command that goes on until the test ends, and waits for the output
// that the document shows.
func (w *documentWorkspace) start(s step, command string) {
	w.t.Helper()
	pattern := w.pattern(s)
	var out lockedBuffer
	cmd := exec.Command("sh", "-c", w.exports+"exec "+command)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = w.dir, w.env, &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // as a terminal does; Ctrl-C is for the group
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	w.t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGINT)
		select {
		case <-ended:
		case <-time.After(documentTimeout):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			w.t.Errorf("%s did not end:\n%s", command, &out)
		}
	})
	deadline := time.NewTimer(documentTimeout)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !pattern.match(out.String(), w.shown) {
		select {
		case <-ended:
			w.t.Fatalf("line %d: $ %s ended:\n%s", s.line, s.command, &out)
		case <-deadline.C:
			w.t.Fatalf("line %d: $ %s\ngot:\n%s\nwant:\n%s", s.line, s.command, &out, s.want)
		case <-tick.C:
		}
	}
}

// variable is what differs from run to run: ids of events and tokens, keys, addresses,
// and then, which nothing refers to, times, durations, bytes and the number of instances.
var variable = regexp.MustCompile(`([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|RW[0-9A-Za-z+/]{54}|[0-9a-z]{16}|127\.0\.0\.1:\d+)` +
	`|\d{4}-\d\d-\d\d[ T]\d\d:\d\d(?::\d\d(?:\.\d+)?Z?)?|\d+(?:\.\d+)? (?:ms|s|B)\b|\bloop +\d+`)

// outputPattern is the output that a document shows, as a pattern.
type outputPattern struct {
	pattern *regexp.Regexp
	shown   []string // what stands in the document for each group
}

// newOutputPattern returns the pattern of an output.
func newOutputPattern(output string) (p outputPattern, err error) {
	var pattern strings.Builder
	for line := range strings.SplitSeq(strings.TrimSpace(output), "\n") {
		if line == "…" {
			pattern.WriteString(`(?:.*\n)*?`)
			continue
		}
		line = strings.TrimSpace(line)
		for _, at := range variable.FindAllStringSubmatchIndex(line, -1) {
			if at[2] >= 0 {
				p.shown = append(p.shown, line[at[2]:at[3]])
			}
		}
		var parts []string
		for _, part := range variable.Split(line, -1) {
			part = strings.ReplaceAll(regexp.QuoteMeta(part), "…", `.*`)
			parts = append(parts, blanks.ReplaceAllString(part, ` +`)) // columns are as wide as their content
		}
		pattern.WriteString(` *` + strings.Join(parts, `(?:`+variable.String()+`)`) + ` *\n`)
	}
	p.pattern, err = regexp.Compile(`\A` + pattern.String() + `\s*\z`)
	return p, err
}

var blanks = regexp.MustCompile(` +`)

// match reports whether an output is the one shown, and then notes in real what
// stands for what.
func (p outputPattern) match(output string, real map[string]string) bool {
	found := p.pattern.FindStringSubmatch(strings.TrimRight(output, "\n") + "\n")
	if found == nil {
		return false
	}
	shown := p.shown
	for _, value := range found[1:] {
		if value != "" && len(shown) > 0 {
			real[shown[0]] = value
			shown = shown[1:]
		}
	}
	return true
}

// TestOutputPattern holds what a document's output matches.
func TestOutputPattern(t *testing.T) {
	const id, other = "01a20976-1f12-7235-b44a-83658258e8b1", "99a20976-1f12-7235-b44a-83658258e8b2"
	const shown = "order " + id + "\n…\necho  ok  0.02 ms  {…,\"n\":1}\n…\nat http://127.0.0.1:8080\n"
	p, err := newOutputPattern(shown)
	if err != nil {
		t.Fatal(err)
	}
	for got, want := range map[string]bool{
		"order " + other + "\necho ok 10.5 ms {\"a\":2,\"n\":1}\nat http://127.0.0.1:7\n":            true,
		"order " + other + "\na\n\nb\necho ok 1 ms {\"a\":2,\"n\":1}\nmore\nat http://127.0.0.1:7\n": true,
		"order " + other + "\necho dead 10.5 ms {\"a\":2,\"n\":1}\nat http://127.0.0.1:7\n":          false,
		"order " + other + "\n": false,
		"an order " + other + "\necho ok 1 ms {\"a\":2,\"n\":1}\nat http://127.0.0.1:7\n": false,
	} {
		real := make(map[string]string)
		if matched := p.match(got, real); matched != want {
			t.Errorf("%q: got %v, want %v", got, matched, want)
		}
		if want && (real[id] != other || real["127.0.0.1:8080"] != "127.0.0.1:7") {
			t.Errorf("%q: got %v", got, real)
		}
	}
}

// runCurl is the part of curl that the documents use, so that the tests need none:
// curl -s -H HEADER URL.
func runCurl(args []string) error {
	if len(args) != 4 || args[0] != "-s" || args[1] != "-H" {
		return fmt.Errorf("curl: this one takes -s -H HEADER URL only, not %q", args)
	}
	req, err := http.NewRequest(http.MethodGet, args[3], nil)
	if err != nil {
		return err
	}
	name, value, _ := strings.Cut(args[2], ": ")
	req.Header.Set(name, value)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(os.Stdout, resp.Body)
	return err
}
