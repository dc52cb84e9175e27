package toolchain

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestJavaOrKotlin(t *testing.T) {
	for _, tt := range []struct{ source, want string }{
		{"src/main/java/Handler.java", "java"},
		{"src/main/kotlin/Handler.kt", "kotlin"},
	} {
		dir := writeFiles(t, map[string]string{"pom.xml": "<project/>", tt.source: ""})
		if l, err := Detect(os.DirFS(dir)); err != nil || l.Name != tt.want {
			t.Errorf("a project with %s: got %s, %v; want %s", tt.source, l.Name, err, tt.want)
		}
	}
}

// TestMavenBuild runs a program in place of Maven.
func TestMavenBuild(t *testing.T) {
	tests := []struct {
		name, program, want, err string
	}{
		{"takes the module from target", "#!/bin/sh\nmkdir target && echo \"$@\" > target/handler.wasm\n",
			"--batch-mode --quiet process-classes\n", ""},
		{"no module", "#!/bin/sh\n", "", "the pom.xml makes no target/handler.wasm"},
		{"a failure", "#!/bin/sh\nexit 3\n", "", "Maven failed (exit status 3)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			maven := filepath.Join(t.TempDir(), "mvn")
			if err := os.WriteFile(maven, []byte(tt.program), 0o755); err != nil {
				t.Fatal(err)
			}
			b := &Build{Dir: t.TempDir(), Output: filepath.Join(t.TempDir(), "out.wasm"), Log: t.Output(),
				tools: map[string]string{mavenTool: maven}}
			err := javaLanguage().Build(context.Background(), b)
			if tt.err != "" {
				var failed *ToolError
				if err == nil || !strings.Contains(err.Error(), tt.err) || errors.As(err, &failed) != strings.HasPrefix(tt.err, mavenTool) {
					t.Errorf("got %v, want %s", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(b.Output); err != nil || string(got) != tt.want {
				t.Errorf("got %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}
