package abi

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is a time.Duration that is written as text with a unit: "200ms",
// "2s", "1m30s". Zero means absent. It reads and writes JSON strings and YAML
// scalars alike.
type Duration time.Duration

// String returns the text form, such as 1m30s.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText returns the text form.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText accepts what time.ParseDuration does, above zero.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is not a duration: write a number and a unit, like 200ms, 2s or 1m30s", text)
	}
	if v <= 0 {
		return fmt.Errorf("%q is not a duration above zero", text)
	}
	*d = Duration(v)
	return nil
}

// Size is a number of bytes that is written as text with a binary unit:
// "64KiB", "32MiB". Zero means absent. It reads and writes JSON strings
// and YAML scalars alike.
type Size int64

// Units of a Size.
const (
	KiB Size = 1 << 10
	MiB Size = 1 << 20
	GiB Size = 1 << 30
)

// String returns the text form in the largest unit that divides s.
func (s Size) String() string {
	switch {
	case s != 0 && s%GiB == 0:
		return strconv.FormatInt(int64(s/GiB), 10) + "GiB"
	case s != 0 && s%MiB == 0:
		return strconv.FormatInt(int64(s/MiB), 10) + "MiB"
	case s != 0 && s%KiB == 0:
		return strconv.FormatInt(int64(s/KiB), 10) + "KiB"
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}

// MarshalText returns the text form.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText accepts a whole number above zero followed by B, KiB, MiB or
// GiB. KB, MB and GB are refused, because they are ambiguous.
func (s *Size) UnmarshalText(text []byte) error {
	t := string(text)
	digits := strings.TrimRight(t, "BKMGi")
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return fmt.Errorf("%q is not a size: write a whole number and a unit, like 64KiB or 32MiB", t)
	}
	var unit Size
	switch t[len(digits):] {
	case "B":
		unit = 1
	case "KiB":
		unit = KiB
	case "MiB":
		unit = MiB
	case "GiB":
		unit = GiB
	default:
		return fmt.Errorf("%q has no unit of size: the units are B, KiB, MiB and GiB", t)
	}
	if digits[0] == '+' || digits[0] == '-' || n == 0 {
		return fmt.Errorf("%q is not a size above zero", t)
	}
	if err != nil || n > math.MaxInt64/int64(unit) {
		return fmt.Errorf("%q is too large", t)
	}
	*s = Size(n) * unit
	return nil
}
