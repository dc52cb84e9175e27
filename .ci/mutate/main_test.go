package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const sampleSource = `package p

func f(a, b int, list []int) (int, error) {
	if a < 3 && !g() {
		return a + 1, nil
	}
	for a == b {
		a += 2
		continue
	}
	list = make([]int, 0, 9)
	g()
	return 0, nil
}

func g() bool { return true }
`

func write(t *testing.T, source string) pkg {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module example.com/p\n\ngo 1.26\n", "p.go": source} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	pkgs, err := list(t.Context(), []string{"."})
	if err != nil || len(pkgs) != 1 {
		t.Fatalf("list: %v, %v", pkgs, err)
	}
	return pkgs[0]
}

func TestMutants(t *testing.T) {
	c, err := newChecker(t.Context(), write(t, sampleSource))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range c.sample(1, 0, "") {
		got = append(got, m.kind+": "+strings.TrimSpace(strings.Split(m.diff(), "\n    + ")[1]))
	}
	want := []string{
		"if always: if (a < 3 && !g()) || true {",
		"if negated: if !(a < 3 && !g()) {",
		"if never: if (a < 3 && !g()) && false {",
		"operator < → <=: if a <= 3 && !g() {",
		"operator < → >=: if a >= 3 && !g() {",
		"constant + 1: if a < (3 + 1) && !g() {",
		"constant - 1: if a < (3 - 1) && !g() {",
		"operator && → ||: if a < 3 || !g() {",
		"operator ! removed: if a < 3 && g() {",
		"result 0: return 0, nil",
		"operator + → -: return a - 1, nil",
		"constant + 1: return a + (1 + 1), nil",
		"constant - 1: return a + (1 - 1), nil",
		"for never: for (a == b) && false {",
		"operator == → !=: for a != b {",
		"statement removed: ",
		"operator += → -=: a -= 2",
		"constant + 1: a += (2 + 1)",
		"constant - 1: a += (2 - 1)",
		"branch continue → break: break",
		"statement removed: ",
		"assignment removed: _ = make([]int, 0, 9)",
		"statement removed: ",
		"constant + 1: return (0 + 1), nil",
		"constant - 1: return (0 - 1), nil",
		"constant true: func g() bool { return false }",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got:\n%s\n\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestSampleDependsOnSeedOnly(t *testing.T) {
	p := write(t, sampleSource)
	take := func(seed uint64) []mutant {
		c, err := newChecker(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		return c.sample(seed, 6, "")
	}
	if a, b := take(7), take(7); !reflect.DeepEqual(a, b) || len(a) != 6 {
		t.Errorf("one seed gave two samples:\n%v\n%v", a, b)
	}
	if reflect.DeepEqual(take(7), take(8)) {
		t.Error("two seeds gave one sample")
	}
}

// A mutant whose tests never end is killed, with the processes they started, and the tree stays as it was.
func TestRunCountsOutcomes(t *testing.T) {
	p := write(t, "package p\n\nfunc Two() int { return 1 + 1 }\n\nfunc Unseen() int { return 3 }\n")
	if err := os.WriteFile(filepath.Join(p.Dir, "p_test.go"),
		[]byte("package p\n\nimport \"testing\"\n\nfunc TestTwo(t *testing.T) {\n\tif Two() != 2 {\n\t\tt.Fatal()\n\t}\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	r := run{seed: 1, jobs: 2, out: &out}
	if err := r.all(t.Context(), []string{"."}); err != nil {
		t.Fatal(err)
	}
	// 1 + 1: operator, two constants each, result; 3: two constants and the result, which no test sees.
	if want := "9 compiled    6 killed (0 by timeout)    3 survived  66.7 %"; !strings.Contains(out.String(), want) {
		t.Errorf("no %q in:\n%s", want, out.String())
	}
	if !strings.Contains(out.String(), "p.go:5: constant + 1\n    - func Unseen() int { return 3 }\n    + func Unseen() int { return (3 + 1) }\n") {
		t.Errorf("the survivor is not shown:\n%s", out.String())
	}
}

func TestWatchEndsTheSession(t *testing.T) {
	cmd := exec.Command("sh", "-c", "sleep 600 & sleep 600")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := watch(ctx, cmd.Process.Pid, done); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("watch: %v", err)
	}
	if left := members(cmd.Process.Pid); len(left) > 0 {
		t.Errorf("processes left: %v", left)
	}
}
