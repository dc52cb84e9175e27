package berth

// Lookup is Field for a pointer that comes from elsewhere, such as the handler's
// configuration: its error is ErrNotFound when there is no such value, and ErrInvalid when
// the pointer is malformed.
func (e *Event) Lookup(pointer string) (string, error) {
	n := e.ask(pointer, e.field)
	if n < 0 {
		return "", callError("field", n)
	}
	e.field = refill(e.field, n)
	return string(e.field[:n]), nil
}
