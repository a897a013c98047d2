package cloudshell

import (
	"fmt"
	"strings"
	"unicode/utf16"

	"sluice/control"
)

// driverResponse writes results as the driver prints them: Python's separators, its
// order of keys, and nothing but ASCII.
func driverResponse(kind string, results []control.MirroringResult) string {
	var b strings.Builder
	b.WriteString(`{"driverResponse": {"actionResults": [`)
	for k, r := range results {
		if k > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, `{"type": %s, "actionId": %s, "success": %t, "infoMessage": %s, "errorMessage": %s`,
			quoteASCII(kind), quoteASCII(r.ActionID), r.Success, quoteASCII(r.Info), quoteASCII(r.Error))
		if kind == createMirroring { // a removal has no such key
			b.WriteString(`, "sessionId": ` + quoteASCII(r.SessionID))
		}
		b.WriteString("}")
	}
	b.WriteString("]}}")
	return b.String()
}

// quoteASCII writes a string of JSON like Python's json.dumps.
func quoteASCII(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\b':
			b.WriteString(`\b`)
		case r == '\f':
			b.WriteString(`\f`)
		case r >= ' ' && r <= '~':
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
