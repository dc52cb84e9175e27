package toolchain

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"github.com/berth-host/berth/abi/c"
)

const (
	clang    = "clang 19"
	cHeader  = "berth.h"
	cFlags   = "compile_flags.txt" // flags of the project, one a line; editors with clangd read it, too
	cInstall = "apt-get install clang-19 lld-19 wasi-libc libclang-rt-19-dev-wasm32"
	wasiSDK  = "/opt/wasi-sdk" // an alternative to Debian's packages, with all in one directory
)

// cMain finds the function main in a source.
var cMain = regexp.MustCompile(`(?m)^[^/*\n]*\bmain\s*\(`)

func cLanguage() Language {
	return Language{
		Name: "c", Title: "C", Main: "handler.c",
		Tools: clangTools("clang", cInstall),
		Detect: func(dir fs.FS) bool {
			return anyFile(dir, ManifestFile) && anyFile(dir, "*.c") && !anyFile(dir, cppPatterns()...)
		},
		Build: func(ctx context.Context, b *Build) error { return buildC(ctx, b, nil, "*.c") },
		SDK:   cSDK,
	}
}

// clangTools returns what a build with a driver of clang needs.
func clangTools(driver, install string) []Tool {
	return []Tool{
		{Name: clang, Commands: []string{driver + "-19", wasiSDK + "/bin/" + driver}, Version: []string{"--version"}, Install: install},
		{Name: "lld 19", Commands: []string{"wasm-ld-19", wasiSDK + "/bin/wasm-ld"}, Version: []string{"--version"}, Install: install},
		{Name: "wasi-libc", Install: install,
			Files: []string{"/usr/include/wasm32-wasi/stdio.h", wasiSDK + "/share/wasi-sysroot/include/wasm32-wasi/stdio.h"}},
		{Name: "the compiler's library for WebAssembly", Install: install,
			Files: []string{"/usr/lib/llvm-19/lib/clang/19/lib/wasi/libclang_rt.builtins-wasm32.a", wasiSDK + "/lib/clang"}},
	}
}

func cSDK() (map[string][]byte, error) { return map[string][]byte{cHeader: []byte(c.Header())}, nil }

// buildC compiles the sources that fit the patterns. A project without the SDK in its
// directory gets this program's.
func buildC(ctx context.Context, b *Build, flags []string, patterns ...string) error {
	sources, err := b.sources(patterns...)
	if err != nil {
		return err
	}
	sdk := filepath.Join(b.Dir, vendored)
	if _, err := os.Stat(filepath.Join(sdk, cHeader)); err != nil {
		sdk = filepath.Join(filepath.Dir(b.Output), vendored)
		if err := os.MkdirAll(sdk, 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(sdk, cHeader), []byte(c.Header()), 0o644); err != nil {
			return err
		}
	}
	compile := append([]string{"--target=wasm32-wasi", "-Oz", "-gline-tables-only", "-mbulk-memory",
		"-ffile-prefix-map=" + b.Dir + "=.", "-ffile-prefix-map=" + sdk + "=" + vendored, "-I" + sdk}, flags...)
	// A link with optimization would run a wasm-opt if there is one: of another version, it
	// fails, or damages the debug information.
	link := append([]string{"--target=wasm32-wasi", "-Wl,-z,stack-size=65536"}, flags...)
	if _, err := os.Stat(filepath.Join(b.Dir, cFlags)); err == nil {
		compile, link = append(compile, "@"+cFlags), append(link, "@"+cFlags, "-Wno-unused-command-line-argument")
	}
	link = append(link, "-O0", "-o", b.Output)
	for i, source := range sources {
		object := filepath.Join(filepath.Dir(b.Output), strconv.Itoa(i)+".o")
		if err := b.Run(ctx, clang, append(slices.Clip(compile), "-c", "-o", object, source)...); err != nil {
			return err
		}
		link = append(link, object)
	}
	if program, err := hasMain(b.Dir, sources); err != nil {
		return err
	} else if !program { // it exports run
		link = append(link, "-mexec-model=reactor")
	}
	if err := b.Run(ctx, clang, link...); err != nil {
		return err
	}
	return trimDebug(b.Output, nil)
}

// hasMain reports whether one of the sources has a function main.
func hasMain(dir string, sources []string) (bool, error) {
	for _, source := range sources {
		text, err := os.ReadFile(filepath.Join(dir, source))
		if err != nil {
			return false, err
		}
		if cMain.Match(text) {
			return true, nil
		}
	}
	return false, nil
}
