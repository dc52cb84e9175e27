package sandbox

import "github.com/berth-host/berth/host/event"

// Attach gives a pool that was created without a Source its source: from now on its
// instances read events. It is called at most once, and not after Drain.
func (p *Pool) Attach(source Source) {
	p.source = source
	close(p.attached)
	p.wg.Add(1)
	go p.supervise()
}

// hand returns an instance's hold on the source.
func (p *Pool) hand() Hand {
	select {
	case <-p.attached:
		return p.source.Hand()
	default:
		return &unattached{pool: p}
	}
}

// unattached is the Hand of an instance that was started before Attach. It waits in
// Next for the source; instance.take then replaces it by the source's own Hand.
type unattached struct {
	pool *Pool
	hand Hand // nil before Attach
}

// Held implements Hand.
func (u *unattached) Held() (event.Taken, bool) {
	if u.hand == nil {
		return event.Taken{}, false
	}
	return u.hand.Held()
}

// Next implements Hand.
func (u *unattached) Next(stop, retire <-chan struct{}) (event.Taken, bool) {
	if u.hand == nil {
		select {
		case <-u.pool.attached:
			u.hand = u.pool.source.Hand()
		case <-stop:
			return event.Taken{}, false
		case <-retire:
			return event.Taken{}, false
		}
	}
	return u.hand.Next(stop, retire)
}

// Done implements Hand.
func (u *unattached) Done(o *event.Outcome) bool { return u.hand.Done(o) }

// Rest implements Hand.
func (u *unattached) Rest() {
	if u.hand != nil {
		u.hand.Rest()
	}
}

// Close implements Hand.
func (u *unattached) Close() {
	if u.hand != nil {
		u.hand.Close()
	}
}
