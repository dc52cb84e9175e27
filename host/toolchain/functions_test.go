package toolchain

import (
	"fmt"
	"strings"
	"testing"
)

func TestListFunctions(t *testing.T) {
	const source = `import { serve } from "x"; // function no() {
/* function neither() {
} */
export function run(): void { serve(handle); }

function explode(stock: i64): i64 {
  if (stock < 0) {
    throw new Error("}" + '\'' + ` + "`${stock}\n`" + `);
  }
  return stock;
}

class Cart<T> extends Base {
  count: i32 = 3;
  constructor(private a: i32) { super(); }
  static of(x: i32): Cart { return new Cart(x); }
  private add(how: (n: i32) => i32): void {
    list.forEach((n) => { this.count += how(n); });
  }
  @operator("[]")
  get total(): i32 {
    return this.count;
  }
}

@inline
function last<T>(
  list: T[],
): T {
  return list[0];
}
declare function outside(): void;
const f = (x: i32): i32 => { return x; };
`
	var got []string
	for _, f := range listFunctions(source) {
		got = append(got, fmt.Sprintf("%s %d-%d", f.name, f.first, f.last))
	}
	want := []string{"run 4-4", "explode 6-12", "Cart#constructor 16-16", "Cart#of 17-17", "Cart#add 18-20", "Cart#total 22-24", "last 28-32"}
	if strings.Join(got, ", ") != strings.Join(want, ", ") {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func FuzzListFunctions(f *testing.F) {
	f.Add("class A { b(c: i32): void { `\n` } }")
	f.Add("function f() { '\\")
	f.Fuzz(func(t *testing.T, source string) {
		lines := strings.Count(source, "\n") + 1
		for _, found := range listFunctions(source) {
			if found.first < 1 || found.last < found.first || found.last > lines {
				t.Errorf("%+v of %d lines", found, lines)
			}
		}
	})
}
