package stack

import (
	"strings"

	"github.com/berth-host/berth/host/event"
)

// MaxNormal bounds what Normalise returns, in bytes.
const MaxNormal = 300

// The placeholders of Normalise.
const (
	number = "<n>"
	quoted = "…"
)

// Normalise returns a headline without what differs between failures with the same cause.
// Numbers, times, UUIDs and all parts of words with a digit become <n>; texts in quotation
// marks become an ellipsis; the location at the end is removed. It reads the first line of a
// message only, and returns the same text for its own result.
func Normalise(headline string) string {
	text := event.Headline(headline, maxHeadline)
	text, _, _ = cutLocation(text)
	var b strings.Builder
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case (c == '"' || c == '\'') && (i == 0 || !isWord(text[i-1]) && text[i-1] != '>'): // > ends a placeholder
			if end := strings.IndexByte(text[i+1:], c); end >= 0 {
				b.WriteByte(c)
				b.WriteString(quoted)
				b.WriteByte(c)
				i += end + 2
				continue
			}
			b.WriteByte(c)
			i++
		case isWord(c):
			end := wordEnd(text, i)
			normaliseWord(&b, text[i:end])
			i = end
		default:
			b.WriteByte(c)
			i++
		}
	}
	return event.Headline(b.String(), MaxNormal)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isWord(c byte) bool {
	return isDigit(c) || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == '-'
}

// wordEnd returns the end of the word at i: letters, digits, _ and -, and the marks between
// the digits of a number or a time.
func wordEnd(text string, i int) int {
	for i++; i < len(text); i++ {
		between := strings.IndexByte(".,:", text[i]) >= 0 && isDigit(text[i-1]) && i+1 < len(text) && isDigit(text[i+1])
		if !isWord(text[i]) && !between {
			break
		}
	}
	return i
}

// normaliseWord writes a word. Of its parts between _ and -, those with a digit become one
// placeholder, together with those between them.
func normaliseWord(b *strings.Builder, word string) {
	first := strings.IndexAny(word, "0123456789")
	if first < 0 {
		b.WriteString(word)
		return
	}
	last := strings.LastIndexAny(word, "0123456789")
	from := strings.LastIndexAny(word[:first], "_-") + 1
	if from == 1 { // a sign
		from = 0
	}
	if isUUID(word) {
		from, last = 0, len(word)-1
	}
	b.WriteString(word[:from])
	b.WriteString(number)
	if to := strings.IndexAny(word[last:], "_-"); to >= 0 {
		b.WriteString(word[last+to:])
	}
}

// isUUID reports whether a word has the form of a UUID, which may begin with letters only.
func isUUID(word string) bool {
	return len(word) == 36 && word[8] == '-' && word[13] == '-' && word[18] == '-' && word[23] == '-' &&
		strings.Trim(word, "0123456789abcdefABCDEF-") == ""
}
