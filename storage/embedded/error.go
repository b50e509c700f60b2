package embedded

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Exception is an error of the engine, with ClickHouse's error code.
type Exception struct {
	Code int
	Text string // as the engine wrote it: "Code: 60. DB::Exception: ..."
}

func (e *Exception) Error() string { return e.Text }

// Codes of ClickHouse that the handler gives by itself.
const (
	codeUnknownSetting  = 115
	codeBadArguments    = 36
	codeSyntaxError     = 62
	codeQueryCancelled  = 394
	codeStdException    = 1001
	codeNetworkError    = 210
	codeTooLarge        = 307 // TOO_MANY_BYTES
	codeNotImplemented  = 48
	codeConnectionGone  = 203 // NO_FREE_CONNECTION
	codeMultiStatements = codeSyntaxError
)

func exceptionf(code int, format string, args ...any) *Exception {
	return &Exception{Code: code, Text: fmt.Sprintf("Code: %d. DB::Exception: ", code) + fmt.Sprintf(format, args...)}
}

var codeRE = regexp.MustCompile(`^(?:Error: )?Code: (\d+)\. `)

// parseError reads an error message of the library. A message without a code
// is given STD_EXCEPTION, as ClickHouse's HTTP interface does.
func parseError(text string) *Exception {
	text = strings.TrimSpace(text)
	if m := codeRE.FindStringSubmatch(text); m != nil {
		if code, err := strconv.ParseInt(m[1], 10, 32); err == nil && code > 0 {
			return &Exception{Code: int(code), Text: strings.TrimPrefix(text, "Error: ")}
		}
	}
	return exceptionf(codeStdException, "%s", text)
}
