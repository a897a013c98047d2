package cloudshell

import (
	"net/http"
	"testing"
	"time"
)

func TestTimesAreWrittenAsTheClientAsks(t *testing.T) {
	at := time.Date(2026, 7, 5, 13, 4, 9, 120_000_000, time.UTC)
	for _, test := range []struct{ pattern, zone, want string }{
		{"", "", "07/05/2026 13:04"},
		{"MM/dd/yyyy HH:mm", "UTC", "07/05/2026 13:04"},
		{"dd/MM/yyyy HH:mm", "Israel Standard Time", "05/07/2026 16:04"},
		{"yyyy-MM-ddTHH:mm:ss", "UTC", "07/05/2026 13:04"}, // T is no letter of a pattern
		{"yyyy-MM-dd'T'HH:mm:sszzz", "Europe/Berlin", "2026-07-05T15:04:09+02:00"},
		{`yyyy-MM-dd\THH:mm:ss.fff`, "", "2026-07-05T13:04:09.120"},
		{"M/d/yy h:m:s tt", "", "7/5/26 1:4:9 PM"},
		{"dddd, d MMMM yyyy", "", "Sunday, 5 July 2026"},
		{"ddd MMM", "", "Sun Jul"},
		{"d", "", "07/05/2026 13:04"}, // a standard format
		{"'open", "", "07/05/2026 13:04"},
		{`HH\`, "", "07/05/2026 13:04"},
		{"HH:mm", "Nowhere/Else", "13:04"},
		{"HH:mm", "../../etc/passwd", "13:04"},
		{"HH:mm", "Pacific Standard Time", "06:04"},
	} {
		h := http.Header{}
		h.Set("DateTimeFormat", test.pattern)
		h.Set("ClientTimeZoneId", test.zone)
		if got := datesOf(h).format(at); got != test.want {
			t.Errorf("%q in %q: %q, want %q", test.pattern, test.zone, got, test.want)
		}
	}
	if got := datesOf(http.Header{}).format(time.Time{}); got != "" {
		t.Errorf("no time is %q", got)
	}
}
