package route

import (
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/interpreter"
)

// mixedArithmetic makes + - * / accept a double and an integer, and compute with doubles.
// CEL refuses that with "no such overload", and whether a number of the data is a double
// or an integer depends on its size (see number).
func mixedArithmetic(i interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
	call, ok := i.(interpreter.InterpretableCall)
	if !ok || len(call.Args()) != 2 {
		return i, nil
	}
	var apply func(a, b ref.Val) ref.Val
	switch call.Function() {
	case operators.Add:
		apply = by(traits.Adder.Add)
	case operators.Subtract:
		apply = by(traits.Subtractor.Subtract)
	case operators.Multiply:
		apply = by(traits.Multiplier.Multiply)
	case operators.Divide:
		apply = by(traits.Divider.Divide)
	default:
		return i, nil
	}
	return interpreter.NewCall(call.ID(), call.Function(), call.OverloadID(), call.Args(), func(args ...ref.Val) ref.Val {
		return apply(sameKind(args[0], args[1]))
	}), nil
}

// by applies an operator of values with the trait T.
func by[T any](operator func(T, ref.Val) ref.Val) func(a, b ref.Val) ref.Val {
	return func(a, b ref.Val) ref.Val {
		if a, ok := a.(T); ok {
			return operator(a, b)
		}
		return types.MaybeNoSuchOverloadErr(a)
	}
}

// sameKind converts a double and an integer to two doubles, and nothing else.
func sameKind(a, b ref.Val) (ref.Val, ref.Val) {
	_, left := a.(types.Double)
	_, right := b.(types.Double)
	if left == right {
		return a, b
	}
	return asDouble(a), asDouble(b)
}

func asDouble(v ref.Val) ref.Val {
	switch v := v.(type) {
	case types.Int:
		return types.Double(v)
	case types.Uint:
		return types.Double(v)
	}
	return v
}
