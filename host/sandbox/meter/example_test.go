package meter_test

import (
	"fmt"

	"github.com/berth-host/berth/host/sandbox/meter"
	"github.com/berth-host/berth/host/sandbox/wasmbin"
	. "github.com/berth-host/berth/host/sandbox/wasmbin/wasmtest"
)

func ExampleRewrite() {
	// A function with an endless loop: loop; br 0; end; end.
	spin := Func("", "", Vec(), 0x03, 0x40, 0x0c, 0, 0x0b, 0x0b)
	out, report, err := meter.Rewrite(spin, meter.Config{})
	fmt.Println(report.Functions, report.Loops, len(out) > len(spin), err)

	_, _, err = meter.Rewrite(Module(Section(wasmbin.SectionStart, 7)), meter.Config{})
	fmt.Println(err)
	// Output:
	// 1 1 true <nil>
	// unknown function index (start section, byte 10)
}
