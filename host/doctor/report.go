package doctor

import "github.com/berth-host/berth/host/wire"

// Level is the severity of a finding.
type Level = wire.FindingLevel

// The levels.
const (
	OK      = wire.FindingOK
	Warning = wire.FindingWarning
	Problem = wire.FindingProblem
)

// Finding is the result of one check.
type Finding = wire.Finding

// Report lists the findings in the order of the checks.
type Report struct{ wire.Findings }

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
func Warn(check, detail, advice string) Finding {
	return Finding{Check: check, Level: Warning, Detail: detail, Advice: advice}
}

// Bad returns a finding of level Problem.
func Bad(check, detail, advice string) Finding {
	return Finding{Check: check, Level: Problem, Detail: detail, Advice: advice}
}
