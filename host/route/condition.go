package route

import (
	"errors"
	"fmt"
	"strings"

	"cel.dev/cel-go/cel"

	"github.com/berth-host/berth/host/fault"
)

// maxExpression bounds an expression's source, in characters.
const maxExpression = 4096

// compiler compiles conditions. It creates its environment, which is costly, for the
// first one.
type compiler struct{ env *cel.Env }

// condition is a compiled `when`; nil is always true.
type condition struct {
	program cel.Program
}

func (c *compiler) compile(when string) (*condition, error) {
	if when == "" {
		return nil, nil
	}
	if strings.TrimSpace(when) == "" {
		return nil, errors.New("is blank; leave it out for always")
	}
	if c.env == nil {
		env, err := cel.NewEnv(
			cel.Variable("event_type", cel.StringType),
			cel.Variable("data", cel.DynType),
			cel.Variable("metadata", cel.MapType(cel.StringType, cel.DynType)),
			cel.CrossTypeNumericComparisons(true), // numbers of JSON are mostly doubles, and are compared with 10000
			cel.ParserExpressionSizeLimit(maxExpression),
			cel.ParserRecursionLimit(64),
		)
		if err != nil {
			return nil, fault.New(fault.Internal, "make a CEL environment: %w", err)
		}
		c.env = env
	}
	ast, issues := c.env.Compile(when)
	if issues.Err() != nil {
		return nil, errors.New(reasons(issues))
	}
	if out := ast.OutputType(); !out.IsExactType(cel.BoolType) && !out.IsExactType(cel.DynType) {
		return nil, fmt.Errorf("must be true or false, but is of type %s", out)
	}
	program, err := c.env.Program(ast, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(maxCost), cel.CostTracking(estimator{}),
		cel.CustomDecoratorV2(mixedArithmetic))
	if err != nil {
		return nil, err
	}
	return &condition{program: program}, nil
}

// reasons joins the errors of the compiler in one line.
func reasons(issues *cel.Issues) string {
	var texts []string
	for _, e := range issues.Errors() {
		at := "column %d: %s"
		if e.Location.Line() > 1 {
			texts = append(texts, fmt.Sprintf("line %d, "+at, e.Location.Line(), e.Location.Column()+1, e.Message))
			continue
		}
		texts = append(texts, fmt.Sprintf(at, e.Location.Column()+1, e.Message))
	}
	return strings.Join(texts, "; ")
}

// holds evaluates the condition and subtracts the cost from left. An error means that it
// does not hold: the event lacks a field, a value has another type, or the cost is too
// high.
func (c *condition) holds(known *facts, left *budget) (bool, error) {
	if c == nil {
		return true, nil
	}
	if *left <= 0 {
		return false, errCost
	}
	out, details, err := c.program.Eval(known)
	if err := left.spend(details, err); err != nil {
		return false, err
	}
	b, ok := out.Value().(bool)
	if !ok {
		return false, fmt.Errorf("is %s, not true or false", out.Type().TypeName())
	}
	return b, nil
}
