package doctor

// Level is the severity of a finding.
type Level string

// The levels.
const (
	OK      Level = "ok"
	Warning Level = "warning" // the host works, but less well or less safely than it could
	Problem Level = "problem" // the host does not start, or does not keep its guarantees
)

// Finding is the result of one check.
type Finding struct {
	Check  string `json:"check"`
	Level  Level  `json:"level"`
	Detail string `json:"detail"`
	Advice string `json:"advice"` // how to resolve it; "" when OK
}

// Report lists the findings in the order of the checks.
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

// Good returns a finding of level OK.
func Good(check, detail string) Finding { return Finding{Check: check, Level: OK, Detail: detail} }

// Warn returns a finding of level Warning.
func Warn(check, detail, advice string) Finding { return Finding{check, Warning, detail, advice} }

// Bad returns a finding of level Problem.
func Bad(check, detail, advice string) Finding { return Finding{check, Problem, detail, advice} }
