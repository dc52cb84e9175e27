package vet_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/sandbox/vet"
	"github.com/berth-host/berth/host/spec"
)

// TestDamagedEntries: after any damage of its entry the module is vetted again.
func TestDamagedEntries(t *testing.T) {
	wasm := guest(t, "echo")
	for name, damage := range map[string]func(path string) error{
		"a flipped bit": func(path string) error {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			b[len(b)/2] ^= 1
			return os.WriteFile(path, b, 0o600)
		},
		"half":    func(path string) error { return os.Truncate(path, 100) },
		"empty":   func(path string) error { return os.Truncate(path, 0) },
		"missing": os.Remove,
		"a directory": func(path string) error {
			if err := os.Remove(path); err != nil {
				return err
			}
			return os.Mkdir(path, 0o700)
		},
	} {
		for _, file := range []string{"verdict.json", "metered.wasm", "wazero-*/*"} {
			t.Run(name+" "+file[:6], func(t *testing.T) {
				v := newVetter(t, vet.Config{})
				verdict, err := v.Vet(t.Context(), spec.NewArtifact(wasm))
				if err != nil {
					t.Fatal(err)
				}
				found, err := filepath.Glob(filepath.Join(verdict.CodeDir, file))
				if err != nil || len(found) != 1 {
					t.Fatalf("%v, %v", found, err)
				}
				if err := damage(found[0]); err != nil {
					t.Fatal(err)
				}
				verdict, err = v.Vet(t.Context(), spec.NewArtifact(wasm))
				if err != nil {
					t.Fatal(err)
				}
				compiles(t, verdict)
			})
		}
	}
}

// TestEntriesOfOthersAreMadeAnew: they may have been put there while the directory
// was open to all, and their code would be run.
func TestEntriesOfOthersAreMadeAnew(t *testing.T) {
	for _, file := range []string{".", "verdict.json", "metered.wasm", "wazero-*/*"} {
		for name, change := range map[string]func(path string) error{
			"writable for others": func(path string) error { return os.Chmod(path, 0o722) },
			"a link": func(path string) error {
				return errors.Join(os.Rename(path, path+".real"), os.Symlink(path+".real", path))
			},
			"another's": func(path string) error { return os.Lchown(path, 12345, 12345) },
		} {
			if name == "another's" && os.Geteuid() != 0 {
				continue // only root can make it
			}
			v := newVetter(t, vet.Config{})
			verdict, err := v.Vet(t.Context(), spec.NewArtifact(guest(t, "echo")))
			if err != nil {
				t.Fatal(err)
			}
			found, err := filepath.Glob(filepath.Join(verdict.CodeDir, file))
			if err != nil || len(found) != 1 {
				t.Fatalf("%v, %v", found, err)
			}
			was, err := os.Stat(found[0])
			if err := errors.Join(err, change(filepath.Clean(found[0]))); err != nil {
				t.Fatal(err)
			}
			if verdict, err = v.Vet(t.Context(), spec.NewArtifact(guest(t, "echo"))); err != nil {
				t.Fatal(err)
			}
			found, _ = filepath.Glob(filepath.Join(verdict.CodeDir, file))
			if now, err := os.Stat(found[0]); err != nil || os.SameFile(was, now) {
				t.Errorf("%s, %s: it is still there", file, name)
			}
			compiles(t, verdict)
		}
	}
}

// TestVerdictOfAnotherVersionIsReplaced: an entry of another format, a refusal, and an
// entry with its code elsewhere are replaced.
func TestVerdictOfAnotherVersionIsReplaced(t *testing.T) {
	for name, change := range map[string][2]string{
		"format":  {`"format":1`, `"format":2`},
		"refused": {`"report":{`, `"report":{"error":{"code":"cpu","reason":"no"},`},
		"outside": {`"path":"`, `"path":"../`},
		"text":    {`{`, ``},
	} {
		v := newVetter(t, vet.Config{})
		verdict, err := v.Vet(t.Context(), spec.NewArtifact(guest(t, "echo")))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(verdict.CodeDir, "verdict.json")
		text, err := os.ReadFile(path)
		changed := strings.Replace(string(text), change[0], change[1], 1)
		if err := errors.Join(err, os.WriteFile(path, []byte(changed), 0o600)); err != nil || changed == string(text) {
			t.Fatalf("%s: %v, %s", name, err, text)
		}
		if verdict, err = v.Vet(t.Context(), spec.NewArtifact(guest(t, "echo"))); err != nil || verdict.Report.Error != nil {
			t.Fatalf("%s: %+v, %v", name, verdict.Report.Error, err)
		}
		if now, err := os.ReadFile(path); err != nil || string(now) == changed {
			t.Errorf("%s: it is as it was: %v", name, err)
		}
		compiles(t, verdict)
	}
}

func TestForget(t *testing.T) {
	v := newVetter(t, vet.Config{})
	verdict, err := v.Vet(t.Context(), spec.NewArtifact(guest(t, "echo")))
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Forget(verdict); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(verdict.CodeDir); !os.IsNotExist(err) {
		t.Errorf("the entry is still there: %v", err)
	}
	if verdict, err = v.Vet(t.Context(), spec.NewArtifact(guest(t, "echo"))); err != nil {
		t.Fatal(err)
	}
	compiles(t, verdict)
}

// TestOthersVerdicts: under other limits, or by another version, a module is
// vetted again.
func TestOthersVerdicts(t *testing.T) {
	dir := t.TempDir()
	seen := map[string]bool{}
	for _, cfg := range []vet.Config{{}, {Version: "2"}, {CPU: 4 * time.Second}, {Memory: 900 << 20}, {Wall: time.Minute}} {
		cfg.CacheDir = dir
		verdict, err := newVetter(t, cfg).Vet(t.Context(), spec.NewArtifact(guest(t, "echo")))
		if err != nil || seen[verdict.CodeDir] {
			t.Errorf("%+v: %v, %v", cfg, verdict.CodeDir, err)
		}
		seen[verdict.CodeDir] = true
	}
}

func TestDirectoryMustBePrivate(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := vet.New(vet.Config{CacheDir: dir}); !fault.Is(err, fault.Denied) {
		t.Errorf("got %v", err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := vet.New(vet.Config{CacheDir: file}); err == nil {
		t.Error("a file as the directory: no error")
	}
	own := filepath.Join(dir, "own")
	if _, err := vet.New(vet.Config{CacheDir: own}); !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), dir+" has mode 0777") {
		t.Errorf("its parent is writable for all: %v", err)
	}
	if err := os.Chmod(dir, os.ModeSticky|0o777); err != nil { // as /tmp is
		t.Fatal(err)
	}
	newVetter(t, vet.Config{CacheDir: own})
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(own, link); err != nil {
		t.Fatal(err)
	}
	newVetter(t, vet.Config{CacheDir: link})
	if os.Geteuid() != 0 {
		return // what belongs to others, only root can make
	}
	for _, path := range []string{link, own} {
		if err := os.Lchown(path, 12345, 12345); err != nil {
			t.Fatal(err)
		}
		if _, err := vet.New(vet.Config{CacheDir: path}); !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), path+" belongs to the user with the id 12345") {
			t.Errorf("%s is another's: %v", path, err)
		}
		if err := os.Lchown(path, 0, 0); err != nil {
			t.Fatal(err)
		}
	}
}

// TestUnusedEntriesArePruned: unused entries are removed; entries in use and other files stay.
func TestUnusedEntriesArePruned(t *testing.T) {
	dir := t.TempDir()
	v := newVetter(t, vet.Config{CacheDir: dir})
	old, err := v.Vet(t.Context(), spec.NewArtifact(guest(t, "echo")))
	if err != nil {
		t.Fatal(err)
	}
	used, err := v.Vet(t.Context(), spec.NewArtifact(guest(t, "stdio")))
	if err != nil {
		t.Fatal(err)
	}
	dead, live, unrelated := filepath.Join(dir, ".vetting-1"), filepath.Join(dir, ".vetting-2"), filepath.Join(dir, "notes")
	for _, d := range []string{dead, live, unrelated} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	long := time.Now().Add(-31 * 24 * time.Hour)
	for _, path := range []string{filepath.Join(old.CodeDir, "verdict.json"), filepath.Join(used.CodeDir, "verdict.json"), dead, unrelated} {
		if err := os.Chtimes(path, long, long); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := v.Vet(t.Context(), spec.NewArtifact(guest(t, "stdio"))); err != nil { // uses it
		t.Fatal(err)
	}
	newVetter(t, vet.Config{CacheDir: dir})
	for path, want := range map[string]bool{old.CodeDir: false, used.CodeDir: true, dead: false, live: true, unrelated: true} {
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("%s: %v", filepath.Base(path), err)
		}
	}
}
