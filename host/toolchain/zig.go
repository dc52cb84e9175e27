package toolchain

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/berth-host/berth/abi/zig"
)

const (
	zigTool   = "Zig"
	zigSDK    = "berth.zig"
	zigScript = "build.zig"
)

// zigLib finds the directory of the standard library in what zig env prints: JSON, or since
// 0.15 ZON.
var zigLib = regexp.MustCompile(`"?\blib_dir"?\s*[:=]\s*"([^"]+)"`)

func zigLanguage() Language {
	return Language{
		Name: "zig", Title: "Zig", Main: "main.zig",
		Tools: []Tool{{Name: zigTool, Commands: []string{"zig", "python-zig"}, Version: []string{"version"},
			Install: "pip install --break-system-packages ziglang==0.15.2 (or have zig, 0.14.1 to 0.17.1, on PATH)"}},
		Detect: func(dir fs.FS) bool { return anyFile(dir, "*.zig", "src/*.zig") },
		Build:  buildZig,
		SDK:    func() (map[string][]byte, error) { return map[string][]byte{zigSDK: []byte(zig.Source())}, nil },
	}
}

// buildZig compiles main.zig, or runs build.zig if there is one. The module has the debug
// information of Zig with paths relative to the project.
func buildZig(ctx context.Context, b *Build) error {
	temp := filepath.Dir(b.Output)
	cache, err := zigCache()
	if err != nil {
		return err
	}
	b.Env = append(b.Env, "ZIG_GLOBAL_CACHE_DIR="+cache)
	lib, err := zigLibDir(ctx, b)
	if err != nil {
		return err
	}
	source := zig.Source()
	sum := sha256.Sum256([]byte(source))
	shared := filepath.Join(cache, "berth-"+hex.EncodeToString(sum[:8])) // the SDK of this program
	names := make(map[string]string)
	for dir, name := range map[string]string{b.Dir: ".", lib: "zig", cache: "zig-cache", shared: vendored, temp: "."} {
		names[filepath.Clean(dir)] = name
		if real, err := filepath.EvalSymlinks(dir); err == nil { // Zig writes these
			names[real] = name
		}
	}
	if _, err := os.Stat(filepath.Join(b.Dir, zigScript)); err == nil {
		prefix := filepath.Join(temp, "out")
		if err := b.Run(ctx, zigTool, "build", "--release=safe", "--prefix", prefix, "--cache-dir", filepath.Join(temp, "cache")); err != nil {
			return err
		}
		if err := onlyModule(prefix, b.Output); err != nil {
			return err
		}
		return trimDebug(b.Output, names)
	}
	main := "main.zig"
	if _, err := os.Stat(filepath.Join(b.Dir, main)); err != nil {
		main = filepath.Join("src", main)
	}
	sdk := filepath.Join(vendored, zigSDK)
	if _, err := os.Stat(filepath.Join(b.Dir, sdk)); err != nil {
		// Beside the module its directory would have another name in each build.
		sdk = filepath.Join(shared, zigSDK)
		if err := os.MkdirAll(shared, 0o755); err != nil {
			return err
		}
		if err := WriteFile(sdk, []byte(source)); err != nil {
			return err
		}
	}
	err = b.Run(ctx, zigTool, "build-exe", "-target", "wasm32-freestanding", "-fno-entry", "--export=run", "-O", "ReleaseSafe", "-fno-strip",
		"--stack", "65536", "--cache-dir", filepath.Join(temp, "cache"), "--dep", "berth", "-Mroot="+main, "-Mberth="+sdk, "-femit-bin="+b.Output)
	if err != nil {
		return err
	}
	return trimDebug(b.Output, names)
}

// zigCache returns the directory in which Zig keeps the compiled standard library.
func zigCache() (string, error) {
	if dir := os.Getenv("ZIG_GLOBAL_CACHE_DIR"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	return filepath.Join(dir, "zig"), err
}

// zigLibDir asks Zig where its standard library is.
func zigLibDir(ctx context.Context, b *Build) (string, error) {
	var printed bytes.Buffer
	log := b.Log
	b.Log = &printed
	err := b.Run(ctx, zigTool, "env")
	b.Log = log
	if err != nil {
		_, _ = log.Write(printed.Bytes())
		return "", err
	}
	match := zigLib.FindSubmatch(printed.Bytes())
	if match == nil {
		return "", errors.New("zig env does not say where the standard library is (lib_dir)")
	}
	return string(match[1]), nil
}

// onlyModule copies the only module below a directory to a file.
func onlyModule(dir, file string) error {
	var found []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && filepath.Ext(path) == ".wasm" {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		return err
	}
	if len(found) != 1 {
		return fmt.Errorf("%s installs %d modules (*.wasm); a plugin is one", zigScript, len(found))
	}
	from, err := os.Open(found[0])
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	return errors.Join(err, to.Close())
}
