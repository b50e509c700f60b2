// Package oneline says what may stand in one line of text: names and reasons come from
// the network and from people, and end in tables, mails, logs and the ledger.
package oneline

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Hostile says that a character would end the line, drive a terminal or turn the
// text round: controls (Unicode's Cc), line and paragraph ends, marks of direction.
func Hostile(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Bidi_Control, unicode.Zl, unicode.Zp)
}

// Valid says that s is UTF-8 without hostile characters.
func Valid(s string) bool { return utf8.ValidString(s) && !strings.ContainsFunc(s, Hostile) }
