package operations

import (
	"errors"

	"github.com/berth-host/berth/host/fault"
)

// inFilter names the field of an error within the filter.
func inFilter(err error) error {
	var f *fault.Error
	if !errors.As(err, &f) || f.Field == "" {
		return err
	}
	return inField("filter."+f.Field, err)
}

// inField names the field of an error.
func inField(field string, err error) error {
	var f *fault.Error
	if !errors.As(err, &f) {
		return err
	}
	named := *f
	named.Field = field
	return &named
}
