package main

import (
	"os"
	"strings"
	"testing"
)

// TestDocumentShowsProgram compares a program in a document with its file, of which the
// document runs the module.
func TestDocumentShowsProgram(t *testing.T) {
	document, err := os.ReadFile("../../docs/writing-handlers.md")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile("../../testdata/guests/wasi/free_shipping.c")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(document), "\n```\n"+string(program)+"```\n") {
		t.Error("docs/writing-handlers.md does not show testdata/guests/wasi/free_shipping.c as it is")
	}
}
