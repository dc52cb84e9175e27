package pglog

// OnTimeline has the log believe that the server was on another timeline when it was last
// read, and changes the database meanwhile.
func (l *Log) OnTimeline(name string, change func()) {
	l.tail.Lock()
	defer l.tail.Unlock()
	change()
	l.timeline = name
}
