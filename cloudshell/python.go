package cloudshell

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// repr writes a value of JSON as Python's repr does: the driver's messages have it.
// Long ones are cut.
func repr(v any) string {
	var b strings.Builder
	writeRepr(&b, v)
	return cut(b.String())
}

func writeRepr(b *strings.Builder, v any) {
	if b.Len() > maxEcho {
		return
	}
	switch v := v.(type) {
	case nil:
		b.WriteString("None")
	case bool:
		b.WriteString(map[bool]string{true: "True", false: "False"}[v])
	case json.Number:
		b.WriteString(v.String())
	case string:
		b.WriteString(reprString(v))
	case []any:
		b.WriteByte('[')
		for k, item := range v {
			if k > 0 {
				b.WriteString(", ")
			}
			writeRepr(b, item)
		}
		b.WriteByte(']')
	case *jsonObject:
		b.WriteByte('{')
		for k, key := range v.keys {
			if k > 0 {
				b.WriteString(", ")
			}
			b.WriteString(reprString(key) + ": ")
			writeRepr(b, v.values[key])
		}
		b.WriteByte('}')
	}
}

func reprString(s string) string {
	quote := '\''
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		quote = '"'
	}
	var b strings.Builder
	b.WriteRune(quote)
	for _, r := range s {
		switch {
		case r == quote || r == '\\':
			b.WriteString(`\` + string(r))
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	b.WriteRune(quote)
	return b.String()
}

// pythonInt reads a number as int() reads a string: blanks around it, a sign, and
// single underscores between digits.
func pythonInt(s string) (int64, bool) {
	s = strings.TrimSpace(s)
	digits := s
	if s != "" && (s[0] == '+' || s[0] == '-') {
		digits = s[1:]
	}
	if strings.HasPrefix(digits, "_") || strings.HasSuffix(digits, "_") || strings.Contains(digits, "__") {
		return 0, false
	}
	digits = strings.ReplaceAll(digits, "_", "")
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return 0, false
	}
	// Python knows no largest number; here the nearest one stands for those beyond it.
	n, err := strconv.ParseInt(s[:len(s)-len(strings.TrimLeft(s, "+-"))]+digits, 10, 64)
	return n, err == nil || errors.Is(err, strconv.ErrRange)
}
