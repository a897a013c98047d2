package main

import (
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// parseFilterFlags reads a command line of filter flags and describes the filters
// that the request would have.
func parseFilterFlags(t *testing.T, args ...string) ([]string, error) {
	t.Helper()
	f := newFlags("sluice test", "", "")
	var filter filterFlags
	filter.register(f)
	if _, err := f.parse(&shell{stdout: io.Discard, stderr: io.Discard}, args, 0, 0); err != nil {
		return nil, err
	}
	filters, err := filter.filters()
	return describeFilters(filters), err
}

func TestFilterFlagsMakeTheFiltersOfTheRequest(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		want []string
	}{
		{"nothing is everything, in both families", nil, []string{"source=0.0.0.0/0", "source=::/0"}},
		{"a protocol alone is for both families", []string{"--protocol", "TCP,udp", "--protocol", "47"},
			[]string{"source=0.0.0.0/0,protocol=tcp,protocol=udp,protocol=gre", "source=::/0,protocol=tcp,protocol=udp,protocol=gre"}},
		{"members are one filter", []string{"--source", "10.77.1.0/24", "--source-port", "1024:65535", "--destination", "10.77.2.2", "--destination-port", "ANY", "--protocol=6"},
			[]string{"source=10.77.1.0/24,source-port=1024:65535,destination=10.77.2.2,destination-port=ANY,protocol=tcp"}},
		{"whole filters are kept in order", []string{"--filter", "source=fd77::/16,protocol=icmpv6", "--filter", "destination=10.0.0.1,destination-port=53"},
			[]string{"source=fd77::/16,protocol=icmpv6", "destination=10.0.0.1,destination-port=53"}},
		{"a whole filter without an address is for both families", []string{"--filter", "destination-port=53,protocol=udp,protocol=6"},
			[]string{"source=0.0.0.0/0,destination-port=53,protocol=udp,protocol=tcp", "source=::/0,destination-port=53,protocol=udp,protocol=tcp"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := parseFilterFlags(t, c.args...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFilterFlagsNameWhatIsWrong(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"--source 10.1", `source "10.1"`},
		{"--destination ::1/129", `destination "::1/129"`},
		{"--source-port 70000", `source port "70000"`},
		{"--destination-port 90:80", `destination port "90:80"`},
		{"--protocol 256", `"256" is no protocol`},
		{"--protocol tpc", `"tpc" is no protocol`},
		{"--filter source", `"source" is not of the form key=value`},
		{"--filter port=80", `"port" is no member`},
		{"--filter source=10.0.0.1,source=10.0.0.2", "source is there twice"},
		{"--filter source=10.0.0.1 --protocol tcp", "--filter stands alone"},
		{strings.Repeat("--filter protocol=6 ", 11), "22 filters are too many"},
	} {
		_, err := parseFilterFlags(t, strings.Fields(c.args)...)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q in it", c.args, err, c.want)
		}
	}
}
