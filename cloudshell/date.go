package cloudshell

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// defaultPattern is the DateTimeFormat of clients that name none.
const defaultPattern = "MM/dd/yyyy HH:mm"

// maxPattern bounds patterns and names of time zones, in bytes.
const maxPattern = 100

// dates formats times as a client asks for.
type dates struct {
	pattern  string
	location *time.Location
}

// datesOf reads the headers DateTimeFormat and ClientTimeZoneId. A pattern that is not
// known falls back to the default, a zone to UTC.
func datesOf(h http.Header) dates {
	d := dates{defaultPattern, time.UTC}
	if p := h.Get("DateTimeFormat"); p != "" && len(p) <= maxPattern {
		if _, ok := formatTime(p, time.Time{}); ok {
			d.pattern = p
		}
	}
	if z := h.Get("ClientTimeZoneId"); z != "" && len(z) <= maxPattern {
		if name := windowsZone(z); name != "" {
			z = name
		}
		if l, err := time.LoadLocation(z); err == nil && z != "Local" {
			d.location = l
		}
	}
	return d
}

// format is "" for the zero time.
func (d dates) format(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	s, _ := formatTime(d.pattern, t.In(d.location)) // the pattern was tried
	return s
}

// formatTime formats by a custom date and time pattern of .NET. Patterns of one letter
// mean something else there and are not known, like letters with another meaning.
func formatTime(pattern string, t time.Time) (string, bool) {
	if len(pattern) == 1 {
		return "", false
	}
	var b strings.Builder
	for i := 0; i < len(pattern); {
		c := pattern[i]
		n := 1
		for i+n < len(pattern) && pattern[i+n] == c {
			n++
		}
		switch c {
		case '\'', '"':
			end := strings.IndexByte(pattern[i+1:], c)
			if end < 0 {
				return "", false
			}
			b.WriteString(pattern[i+1 : i+1+end])
			i += end + 2
			continue
		case '\\':
			if i+1 == len(pattern) {
				return "", false
			}
			b.WriteByte(pattern[i+1])
			i += 2
			continue
		case '%':
			i++
			continue
		}
		part, ok := formatPart(c, n, t)
		switch {
		case ok:
			b.WriteString(part)
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
			return "", false
		default:
			b.WriteString(pattern[i : i+n])
		}
		i += n
	}
	return b.String(), true
}

// formatPart formats one run of a letter.
func formatPart(c byte, n int, t time.Time) (string, bool) {
	number := func(v int) (string, bool) { return fmt.Sprintf("%0*d", min(n, 2), v), true }
	switch c {
	case 'y':
		if n <= 2 {
			return number(t.Year() % 100)
		}
		return fmt.Sprintf("%0*d", n, t.Year()), true
	case 'M':
		switch n {
		case 1, 2:
			return number(int(t.Month()))
		case 3:
			return t.Format("Jan"), true
		}
		return t.Format("January"), true
	case 'd':
		switch n {
		case 1, 2:
			return number(t.Day())
		case 3:
			return t.Format("Mon"), true
		}
		return t.Format("Monday"), true
	case 'H':
		return number(t.Hour())
	case 'h':
		return number((t.Hour()+11)%12 + 1)
	case 'm':
		return number(t.Minute())
	case 's':
		return number(t.Second())
	case 'f':
		return fmt.Sprintf("%09d", t.Nanosecond())[:min(n, 7)], true
	case 't':
		return t.Format("PM")[:min(n, 2)], true
	case 'z':
		return t.Format("-07:00")[:map[bool]int{true: 6, false: 3}[n >= 3]], true
	}
	return "", false
}

// windowsZone returns the IANA name of a time zone of Windows, "" for others (Unicode
// CLDR, windowsZones.xml: the territory 001 of each).
func windowsZone(name string) string {
	return map[string]string{
		"UTC": "UTC", "Coordinated Universal Time": "UTC", "GMT Standard Time": "Europe/London",
		"Greenwich Standard Time": "Atlantic/Reykjavik", "W. Europe Standard Time": "Europe/Berlin",
		"Romance Standard Time": "Europe/Paris", "Central Europe Standard Time": "Europe/Budapest",
		"Central European Standard Time": "Europe/Warsaw", "E. Europe Standard Time": "Europe/Chisinau",
		"FLE Standard Time": "Europe/Kiev", "GTB Standard Time": "Europe/Bucharest",
		"Turkey Standard Time": "Europe/Istanbul", "Israel Standard Time": "Asia/Jerusalem",
		"Egypt Standard Time": "Africa/Cairo", "South Africa Standard Time": "Africa/Johannesburg",
		"Russian Standard Time": "Europe/Moscow", "Arab Standard Time": "Asia/Riyadh",
		"Arabian Standard Time": "Asia/Dubai", "Iran Standard Time": "Asia/Tehran",
		"Pakistan Standard Time": "Asia/Karachi", "India Standard Time": "Asia/Calcutta",
		"SE Asia Standard Time": "Asia/Bangkok", "China Standard Time": "Asia/Shanghai",
		"Singapore Standard Time": "Asia/Singapore", "Taipei Standard Time": "Asia/Taipei",
		"Tokyo Standard Time": "Asia/Tokyo", "Korea Standard Time": "Asia/Seoul",
		"AUS Eastern Standard Time": "Australia/Sydney", "E. Australia Standard Time": "Australia/Brisbane",
		"W. Australia Standard Time": "Australia/Perth", "New Zealand Standard Time": "Pacific/Auckland",
		"Hawaiian Standard Time": "Pacific/Honolulu", "Alaskan Standard Time": "America/Anchorage",
		"Pacific Standard Time": "America/Los_Angeles", "US Mountain Standard Time": "America/Phoenix",
		"Mountain Standard Time": "America/Denver", "Central Standard Time": "America/Chicago",
		"Eastern Standard Time": "America/New_York", "Atlantic Standard Time": "America/Halifax",
		"SA Pacific Standard Time": "America/Bogota", "Argentina Standard Time": "America/Buenos_Aires",
		"E. South America Standard Time": "America/Sao_Paulo",
	}[name]
}
