package toolchain

import (
	"context"
	"io/fs"
)

func cppLanguage() Language {
	const install = cInstall + " libc++-19-dev-wasm32 libc++abi-19-dev-wasm32"
	tools := append(clangTools("clang++", install), Tool{
		Name: "libc++ for WebAssembly", Install: install,
		Files: []string{"/usr/lib/llvm-19/include/wasm32-wasi/c++/v1/vector", wasiSDK + "/share/wasi-sysroot/include/wasm32-wasi/c++/v1/vector"},
	})
	return Language{
		Name: "cpp", Title: "C++", Main: "handler.cpp",
		Tools:  tools,
		Detect: func(dir fs.FS) bool { return anyFile(dir, ManifestFile) && anyFile(dir, cppPatterns()...) },
		Build: func(ctx context.Context, b *Build) error {
			return buildC(ctx, b, []string{"-fno-exceptions"}, cppPatterns()...)
		},
		SDK: cSDK,
	}
}

func cppPatterns() []string { return []string{"*.cpp", "*.cc", "*.cxx"} }
