package fleet

import (
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestClockOfThisGoCanBeShifted fails when a new version of Go reads the clock in another way.
func TestClockOfThisGoCanBeShifted(t *testing.T) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(root)), "src", "time", "time.go"))
	if err != nil {
		t.Fatal(err)
	}
	shifted, err := shiftClock(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.ParseFile(token.NewFileSet(), "time.go", shifted, parser.SkipObjectResolution); err != nil {
		t.Error(err)
	}
	if _, err := shiftClock("package time"); err == nil {
		t.Error("a time.go without a clock is no error")
	}
}
