package event

import "time"

// Success is a delivery that succeeded at its first attempt and published no
// children, as nearly all do.
type Success struct {
	At       time.Time // when the attempt ended
	Duration time.Duration
	Fuel     uint64
}

// SuccessAt is a success with its position in the log.
type SuccessAt struct {
	Seq uint64
	Success
	End int // where its result ends in Successes.Results; it begins where the one before ends
}

// Successes are successes of one handler with one version of its module, in compact
// form: a busy host has many thousands in one write.
type Successes struct {
	Handler string
	Digest  string      // SHA-256 of the module, hex; "" when it is not known
	List    []SuccessAt // in any order of Seq, and no Seq twice
	Results []byte      // of all, one behind the other; each is JSON, or empty
}

// Append adds a success. The result is copied.
func (s *Successes) Append(seq uint64, of Success, result []byte) {
	s.Results = append(s.Results, result...)
	s.List = append(s.List, SuccessAt{Seq: seq, Success: of, End: len(s.Results)})
}

// AppendAll adds the successes of another list. Their results are copied.
func (s *Successes) AppendAll(of *Successes) {
	from, shift := len(s.List), len(s.Results)
	s.Results = append(s.Results, of.Results...)
	s.List = append(s.List, of.List...)
	for i := from; i < len(s.List); i++ {
		s.List[i].End += shift
	}
}

// Result returns the result of the success with an index in List. It is a part of
// Results.
func (s *Successes) Result(i int) []byte {
	from := 0
	if i > 0 {
		from = s.List[i-1].End
	}
	return s.Results[from:s.List[i].End]
}

// Delivery returns the success with an index in List as it is stored and shown.
func (s *Successes) Delivery(i int) Delivery {
	of := &s.List[i]
	return of.Delivery(s.Handler, of.Seq, s.Digest, string(s.Result(i)))
}

// Find returns the index in List of the success of a Seq, and whether there is one. It
// looks at every element, the last first.
func (s *Successes) Find(seq uint64) (i int, found bool) {
	for i := len(s.List) - 1; i >= 0; i-- {
		if s.List[i].Seq == seq {
			return i, true
		}
	}
	return 0, false
}

// Delivery returns the success as it is stored and shown. The result is JSON, or "".
func (s Success) Delivery(handler string, seq uint64, digest, result string) Delivery {
	return Delivery{Handler: handler, Seq: seq, Status: StatusOK, Attempts: 1, Result: result, Duration: s.Duration,
		Fuel: s.Fuel, At: s.At, FirstAttempt: s.At.Add(-s.Duration), SHA256: digest}
}
