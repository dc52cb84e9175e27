package client

import (
	"bufio"
	"io"
	"strings"
)

// maxLine bounds a line of a stream, in bytes.
const maxLine = 8 << 20

// ReadEvents reads server-sent events (WHATWG HTML, section 9.2.6) until on returns an error
// or the stream ends. It ignores fields other than event and data.
func ReadEvents(r io.Reader, on func(kind string, data []byte) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	var kind string
	var data []byte
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case lines.Text() == "":
			if data != nil {
				if err := on(kind, data); err != nil {
					return err
				}
			}
			kind, data = "", nil
		case field == "event":
			kind = value
		case field == "data":
			if data != nil {
				data = append(data, '\n')
			}
			data = append(data, value...)
		}
	}
	return lines.Err()
}
