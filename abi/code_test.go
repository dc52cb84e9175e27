package abi_test

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/berth-host/berth/abi"
)

func TestCodes(t *testing.T) {
	for code, want := range map[abi.Code]string{
		-1: "END", -2: "INVALID", -3: "DENIED", -4: "NOT_FOUND", -5: "TOO_LARGE", -6: "UNAVAILABLE", -7: "TIMEOUT", -8: "CONFLICT",
		-9: "code -9", 0: "ok", 1: "ok",
	} {
		if got := code.String(); got != want {
			t.Errorf("%d: got %q, want %q", int32(code), got, want)
		}
	}
}

// TestHeader proves that the C header declares each function of the ABI, and
// the codes with their values.
func TestHeader(t *testing.T) {
	text, err := os.ReadFile("c/berth.h")
	if err != nil {
		t.Fatal(err)
	}
	header := string(text)
	for _, f := range abi.Functions() {
		_, after, ok := strings.Cut(header, `BERTH_IMPORT("`+f.Name+`") `)
		declaration, _, _ := strings.Cut(after, ";")
		if !ok {
			t.Errorf("%s is missing", f.Name)
			continue
		}
		params := 0
		if !strings.HasSuffix(declaration, "(void)") {
			params = 1 + strings.Count(declaration, ",")
		}
		if results := !strings.HasPrefix(declaration, "void "); params != f.Params || results != (f.Results == 1) {
			t.Errorf("%s has another signature: %s", f.Name, declaration)
		}
	}
	for code := abi.End; code >= abi.Conflict; code-- {
		if want := "#define BERTH_" + code.String() + " (" + strconv.Itoa(int(code)) + ")"; !strings.Contains(header, want) {
			t.Errorf("%s is missing", want)
		}
	}
}
