package delivery

// index finds tasks by a number. It is a table of chains through the tasks, so
// that putting one in and taking it out allocates nothing, and what came one
// after another lies side by side. It grows, and keeps its size.
type index struct {
	buckets []*task
	n       int
	which   int // of a task's links
}

// link is a task's place in an index.
type link struct {
	number uint64
	next   *task
}

const leastBuckets = 64 // a power of two, as is every size

// The links of a task.
const (
	bySeq  = iota // its place in Handler.open
	byLane        // its place in Handler.lanes
)

func (x *index) link(t *task) *link { return &t.links[x.which] }

func (x *index) bucket(number uint64) **task {
	return &x.buckets[number&uint64(len(x.buckets)-1)]
}

func (x *index) get(number uint64) *task {
	if x.n == 0 {
		return nil
	}
	t := *x.bucket(number)
	for t != nil && x.link(t).number != number {
		t = x.link(t).next
	}
	return t
}

// put takes a task in, in the place of the one with the same number, which it
// returns.
func (x *index) put(number uint64, t *task) (before *task) {
	before = x.remove(number)
	if x.n >= len(x.buckets) {
		x.grow()
	}
	x.insert(number, t)
	x.n++
	return before
}

func (x *index) insert(number uint64, t *task) {
	b := x.bucket(number)
	*x.link(t) = link{number, *b}
	*b = t
}

func (x *index) grow() {
	old := x.buckets
	x.buckets = make([]*task, max(leastBuckets, 2*len(old)))
	for _, t := range old {
		for t != nil {
			l := *x.link(t)
			x.insert(l.number, t)
			t = l.next
		}
	}
}

// remove takes the task out and returns it, nil if there is none.
func (x *index) remove(number uint64) *task {
	if x.n == 0 {
		return nil
	}
	for at := x.bucket(number); *at != nil; {
		t := *at
		l := x.link(t)
		if l.number == number {
			*at = l.next
			*l = link{}
			x.n--
			return t
		}
		at = &l.next
	}
	return nil
}

// all yields every task, in no order.
func (x *index) all(yield func(*task) bool) {
	for _, t := range x.buckets {
		for t != nil {
			next := x.link(t).next
			if !yield(t) {
				return
			}
			t = next
		}
	}
}
