package doctor

// Level is how bad a finding is.
type Level string

// The levels.
const (
	OK      Level = "ok"
	Warning Level = "warning" // the host works, but not as well or as safely as it could
	Problem Level = "problem" // the host does not start, or does not keep its promises
)

// Finding is what one look has shown.
type Finding struct {
	Check  string `json:"check"`
	Level  Level  `json:"level"`
	Detail string `json:"detail"`
	Advice string `json:"advice"` // what to do; "" when nothing
}

// Report is everything that was found, in the order in which it was looked at.
type Report struct {
	Checks   []Finding `json:"checks"`
	Warnings int       `json:"warnings"`
	Problems int       `json:"problems"`
}

// Add appends findings and counts them.
func (r *Report) Add(findings ...Finding) {
	for _, f := range findings {
		switch f.Level {
		case Warning:
			r.Warnings++
		case Problem:
			r.Problems++
		}
		r.Checks = append(r.Checks, f)
	}
}

// Good is a finding that needs nothing done.
func Good(check, detail string) Finding { return Finding{Check: check, Level: OK, Detail: detail} }

// Warn is a finding to think about.
func Warn(check, detail, advice string) Finding { return Finding{check, Warning, detail, advice} }

// Bad is a finding to mend.
func Bad(check, detail, advice string) Finding { return Finding{check, Problem, detail, advice} }
