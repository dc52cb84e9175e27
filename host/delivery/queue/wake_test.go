package queue

import (
	"testing"
)

func TestGateWakesThoseThatWait(t *testing.T) {
	var g Gate
	g.Open() // nobody waits
	first, again := g.Wait(), g.Wait()
	g.Open()
	<-first
	<-again
	select {
	case <-g.Wait():
		t.Error("the next one does not wait")
	default:
	}
}

func TestSignalKeepsOneToken(t *testing.T) {
	c := make(chan struct{}, 1)
	for range 3 {
		Signal(c)
	}
	if <-c; len(c) != 0 {
		t.Error("there are several")
	}
}
