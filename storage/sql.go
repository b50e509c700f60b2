package storage

import "strings"

var identifierEscaper = strings.NewReplacer(`\`, `\\`, "`", "\\`")

func quoteIdentifier(s string) string { return "`" + identifierEscaper.Replace(s) + "`" }
