package sandbox_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/sandbox"
	"github.com/berth-host/berth/host/sandbox/vet"
	"github.com/berth-host/berth/host/spec"
)

func TestEngineWithoutVetterIsAnError(t *testing.T) {
	if _, err := sandbox.New(sandbox.Config{}); err == nil {
		t.Error("an engine without a Vetter: no error")
	}
}

func TestReport(t *testing.T) {
	m := load(t, guest(t, "stdio"))
	if r := m.Report(); r.Style != m.Style() || r.Size != len(guest(t, "stdio")) || r.Error != nil {
		t.Errorf("%+v", r)
	}
}

// damaging is a Vetter that damages the compiled code of its first verdicts.
type damaging struct {
	sandbox.Vetter
	t         *testing.T
	times     int
	forgotten int
}

func (d *damaging) Vet(ctx context.Context, module spec.Artifact) (vet.Verdict, error) {
	verdict, err := d.Vetter.Vet(ctx, module)
	if d.times--; d.times >= 0 && err == nil {
		code, err := filepath.Glob(filepath.Join(verdict.CodeDir, "wazero-*", "*"))
		if err != nil || len(code) != 1 {
			d.t.Fatalf("the code: %v, %v", code, err)
		}
		b, err := os.ReadFile(code[0])
		if err != nil {
			d.t.Fatal(err)
		}
		b[len(b)/2] ^= 0x10
		if err := os.WriteFile(code[0], b, 0o600); err != nil {
			d.t.Fatal(err)
		}
	}
	return verdict, err
}

func (d *damaging) Forget(v vet.Verdict) error {
	d.forgotten++
	return d.Vetter.Forget(v)
}

// TestDamagedCodeIsCompiledAgain damages compiled code after it was vetted: it is compiled
// again, once.
func TestDamagedCodeIsCompiledAgain(t *testing.T) {
	for times, want := range []fault.Code{"", "", fault.Internal} {
		vetter, err := vet.New(vet.Config{CacheDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		d := &damaging{Vetter: vetter, t: t, times: times}
		engine, err := sandbox.New(sandbox.Config{Vetter: d})
		if err != nil {
			t.Fatal(err)
		}
		m, err := engine.Load(t.Context(), spec.NewArtifact(guest(t, "echo")), sandbox.Options{})
		if fault.CodeOf(err) != want || d.forgotten != min(times, 1) {
			t.Errorf("damaged %d times: %v, forgotten %d times", times, err, d.forgotten)
		}
		if err == nil {
			if err := m.Close(t.Context()); err != nil {
				t.Error(err)
			}
		} else if !strings.Contains(err.Error(), "a vetted module does not compile") {
			t.Error(err)
		}
	}
}

// goGuest builds a guest of the size of a usual Go handler.
func goGuest(b *testing.B) []byte {
	b.Helper()
	out := filepath.Join(b.TempDir(), "guest.wasm")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", out, "../../testdata/meter/gojson")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if text, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, text)
	}
	wasm, err := os.ReadFile(out)
	if err != nil {
		b.Fatal(err)
	}
	return wasm
}

// BenchmarkLoad loads a new Go guest (cold: a child
// compiles it) and one that has passed at an earlier start (warm).
func BenchmarkLoad(b *testing.B) {
	wasm := goGuest(b)
	loadOnce := func(engine *sandbox.Engine) {
		m, err := engine.Load(b.Context(), spec.NewArtifact(wasm), sandbox.Options{})
		if err != nil {
			b.Fatal(err)
		}
		if err := m.Close(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("cold", func(b *testing.B) {
		for b.Loop() {
			loadOnce(newEngine(b, 0))
		}
	})
	b.Run("warm", func(b *testing.B) {
		dir := b.TempDir()
		start := func() *sandbox.Engine {
			vetter, err := vet.New(vet.Config{CacheDir: dir})
			if err != nil {
				b.Fatal(err)
			}
			engine, err := sandbox.New(sandbox.Config{Vetter: vetter})
			if err != nil {
				b.Fatal(err)
			}
			return engine
		}
		loadOnce(start())
		for b.Loop() {
			loadOnce(start())
		}
	})
}
