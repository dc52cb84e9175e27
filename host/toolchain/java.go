package toolchain

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/berth-host/berth/abi/java"
)

// The names of the tools of Java and Kotlin. The compilers to bytecode and to WebAssembly
// are plugins of Maven: the project's pom.xml has their versions.
const (
	mavenTool = "Maven"
	jdkTool   = "JDK 17"
)

func javaLanguage() Language {
	return mavenLanguage("java", "Java", "src/main/java/Handler.java", func(dir fs.FS) bool { return !isKotlin(dir) })
}

func kotlinLanguage() Language {
	return mavenLanguage("kotlin", "Kotlin", "src/main/kotlin/Handler.kt", isKotlin)
}

func isKotlin(dir fs.FS) bool {
	info, err := fs.Stat(dir, "src/main/kotlin")
	return err == nil && info.IsDir()
}

// mavenLanguage is a language that Maven builds, for projects of which detect is true.
func mavenLanguage(name, title, main string, detect func(fs.FS) bool) Language {
	const debian = "apt-get install maven openjdk-17-jdk-headless"
	return Language{
		Name: name, Title: title, Main: main,
		Tools: []Tool{
			{Name: jdkTool, Commands: []string{"javac"}, Version: []string{"-version"}, Install: debian},
			{Name: mavenTool, Commands: []string{"mvn"}, Version: []string{"--version"}, Install: debian},
		},
		Detect: func(dir fs.FS) bool { return anyFile(dir, "pom.xml") && detect(dir) },
		Build: func(ctx context.Context, b *Build) error {
			if err := b.Run(ctx, mavenTool, "--batch-mode", "--quiet", "process-classes"); err != nil {
				return err
			}
			built := filepath.Join(b.Dir, "target", "handler.wasm")
			module, err := os.ReadFile(built)
			if err != nil {
				return fmt.Errorf("the pom.xml makes no target/handler.wasm: %w", err)
			}
			return os.WriteFile(b.Output, module, 0o644)
		},
		SDK: func() (map[string][]byte, error) { return filesOf(java.Source) },
	}
}
