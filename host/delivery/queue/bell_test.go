package queue

import "testing"

func tokens(b *Bell) [2]int { return [2]int{len(b.wake), len(b.demand)} }

// TestBellSignalsDemand: unless an instance waits.
func TestBellSignalsDemand(t *testing.T) {
	b := NewBell()
	b.Wait()
	b.Ring()
	if got := tokens(b); got != [2]int{1, 0} {
		t.Errorf("an instance waits: got %v tokens of wake and demand", got)
	}
	<-b.Wake()
	b.Wait()
	b.Leave()
	b.Leave()
	if b.Waiting() != 0 {
		t.Errorf("%d instances wait", b.Waiting())
	}
	b.Ring()
	b.Ring()
	if got := tokens(b); got != [2]int{1, 1} {
		t.Errorf("no instance waits: got %v tokens of wake and demand", got)
	}
	<-b.Demand()
}

func TestBells(t *testing.T) {
	first, second := NewBell(), NewBell()
	var none Bells
	none.Ring()
	all := append(none, first, second)
	first.Wait()
	second.Wait()
	second.Wait()
	all.Ring()
	if all.Waiting() != 3 || tokens(first) != [2]int{1, 0} || tokens(second) != [2]int{1, 0} {
		t.Errorf("%d wait, got %v and %v", all.Waiting(), tokens(first), tokens(second))
	}
	if all = all.Without(first); len(all) != 1 || all[0] != second {
		t.Errorf("got %v", all)
	}
	if all = all.Without(nil); len(all) != 1 {
		t.Errorf("got %v", all)
	}
}
