package delivery

// index finds tasks by number. It is a hash table of chains through the tasks, so that
// insertion and removal allocate nothing, and consecutive numbers are adjacent. It grows
// and does not shrink.
type index struct {
	buckets []*task
	n       int
	which   int // of a task's links
}

// link is a task's entry in an index.
type link struct {
	number uint64
	next   *task
}

const minBuckets = 64 // a power of two, as is every size

// The links of a task.
const (
	bySeq  = iota // in handler.open
	byLane        // in handler.lanes
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

// put inserts a task. It replaces the one with the same number and returns it.
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
	x.buckets = make([]*task, max(minBuckets, 2*len(old)))
	for _, t := range old {
		for t != nil {
			l := *x.link(t)
			x.insert(l.number, t)
			t = l.next
		}
	}
}

// remove removes the task with the number and returns it, nil if there is none.
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

// all yields every task in arbitrary order.
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
