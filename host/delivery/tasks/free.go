package tasks

// MaxFree bounds the tasks that are kept for reuse.
const MaxFree = 4096

// Free has tasks for reuse, the most recently used last. It is not safe for concurrent use.
type Free []*Task

// Drop removes one user of the task and recycles the task after the last one.
func (f *Free) Drop(t *Task) {
	if t.Users--; t.Users == 0 {
		f.Recycle(t)
	}
}

// Recycle keeps a task that has no user for reuse.
func (f *Free) Recycle(t *Task) {
	if len(*f) >= MaxFree {
		return
	}
	*t = Task{}
	*f = append(*f, t)
}

// Reuse appends up to n free tasks, the most recently used last.
func (f *Free) Reuse(to []*Task, n int) []*Task {
	from := max(0, len(*f)-n)
	to = append(to, (*f)[from:]...)
	clear((*f)[from:])
	*f = (*f)[:from]
	return to
}
