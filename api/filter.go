package api

import (
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"sluice"
)

// Limits of the filters of one request (AWS: EC2 user guide, "List and filter").
const (
	maxFilters      = 50
	maxFilterValues = 200
	maxFilterLength = 255 // characters of a value
)

// filter is one Filter.N of a request.
type filter struct {
	Name   *string  `query:"Name"`
	Values []string `query:"Value"`
}

// attributes are the filter names of a kind of thing and what they are compared
// with.
type attributes[T any] map[string]func(T) []string

// one makes an attribute of a single value.
func one[T any](get func(T) string) func(T) []string {
	return func(v T) []string { return []string{get(v)} }
}

// same makes an attribute that has the same values for everything.
func same[T any](values ...string) func(T) []string {
	return func(T) []string { return values }
}

// checkFilters refuses filters that can't be asked for.
func checkFilters[T any](filters []filter, known attributes[T], tagged bool) error {
	values := 0
	for _, f := range filters {
		values += len(f.Values)
		name := value(f.Name)
		if f.Name == nil {
			name = "null"
		}
		_, ok := known[name]
		if tagged && (name == "tag-key" || strings.HasPrefix(name, "tag:")) {
			ok = true
		}
		if !ok {
			return &fault{http.StatusBadRequest, "InvalidParameterValue", "The filter '" + clip(name) + "' is invalid"}
		}
		for _, v := range f.Values {
			if utf8.RuneCountInString(v) > maxFilterLength {
				return filterLimit("A filter value may have at most 255 characters.")
			}
		}
	}
	if len(filters) > maxFilters {
		return filterLimit("A request may have at most 50 filters.")
	}
	if values > maxFilterValues {
		return filterLimit("A request may have at most 200 filter values.")
	}
	return nil
}

func filterLimit(message string) error {
	return &fault{http.StatusBadRequest, "FilterLimitExceeded", message}
}

// matches tells whether a thing passes all filters; of the values of one filter any
// will do. A filter without values lets nothing through: clients send one when their
// list of ids is empty, and mean no id rather than every.
func matches[T any](v T, filters []filter, known attributes[T], tags []sluice.Tag) bool {
	for _, f := range filters {
		if !slices.ContainsFunc(attribute(v, *f.Name, known, tags), func(have string) bool {
			return have != "" && slices.ContainsFunc(f.Values, func(want string) bool { return wildcard(want, have) })
		}) {
			return false
		}
	}
	return true
}

func attribute[T any](v T, name string, known attributes[T], tags []sluice.Tag) []string {
	if get, ok := known[name]; ok {
		return get(v)
	}
	var out []string
	key, byKey := strings.CutPrefix(name, "tag:")
	for _, t := range tags {
		switch {
		case !byKey:
			out = append(out, t.Key)
		case t.Key == key:
			out = append(out, t.Value)
		}
	}
	return out
}

// wildcard matches a text with a pattern in which * stands for any characters, ? for
// one or none, and a backslash takes the meaning from what follows. It steps through
// the pattern with the set of places that the text can have got to, so that its time
// is bounded by the product of the two lengths.
func wildcard(wanted, had string) bool {
	pattern, text := []rune(wanted), []rune(had)
	at := make([]bool, len(text)+1)
	at[0] = true
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == '*':
			for j := 1; j < len(at); j++ {
				at[j] = at[j] || at[j-1]
			}
		case c == '?':
			for j := len(at) - 1; j > 0; j-- {
				at[j] = at[j] || at[j-1]
			}
		default:
			if c == '\\' && i+1 < len(pattern) {
				i++
				c = pattern[i]
			}
			for j := len(at) - 1; j > 0; j-- {
				at[j] = at[j-1] && text[j-1] == c
			}
			at[0] = false
		}
	}
	return at[len(text)]
}
