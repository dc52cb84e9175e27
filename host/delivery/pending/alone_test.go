package pending

import "testing"

func TestAloneIsOneAfterTheOther(t *testing.T) {
	var a Alone[string]
	if _, ok := a.Take(); ok || a.Any() || a.Remove("x") {
		t.Fatal("there is one in an empty list")
	}
	a.Add("x")
	a.Add("y")
	a.Add("z")
	if !a.Any() || a.MayStart(1, 0) || a.MayStart(0, 1) || !a.MayStart(0, 0) {
		t.Fatal("the first starts when nothing is open or unwritten")
	}
	if one, ok := a.Take(); !ok || one != "x" || a.MayStart(0, 0) {
		t.Fatalf("got %q (%v)", one, ok)
	}
	if !a.Remove("y") || a.MayStart(0, 0) { // skipped
		t.Fatal("the next one starts before the first has ended")
	}
	if !a.Remove("x") || !a.MayStart(0, 0) {
		t.Fatal("the next one does not start")
	}
	if one, ok := a.Take(); !ok || one != "z" || !a.Remove("z") || a.Any() {
		t.Fatalf("got %q (%v)", one, ok)
	}
}
