package main

import (
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// table is rows under headings, aligned for people.
type table struct {
	columns []column
	rows    [][]string
}

// column is a heading and the side that its values keep to.
type column struct {
	heading string
	right   bool // numbers
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// write prints the table, each line after indent. Lines have no trailing spaces.
func (t *table) write(w io.Writer, indent string) error {
	widths := make([]int, len(t.columns))
	headings := make([]string, len(t.columns))
	for i, c := range t.columns {
		headings[i] = c.heading
		widths[i] = utf8.RuneCountInString(c.heading)
	}
	for _, r := range t.rows {
		for i, cell := range r {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	if err := t.writeLine(w, indent, headings, widths); err != nil {
		return err
	}
	for _, r := range t.rows {
		if err := t.writeLine(w, indent, r, widths); err != nil {
			return err
		}
	}
	return nil
}

func (t *table) writeLine(w io.Writer, indent string, cells []string, widths []int) error {
	var b strings.Builder
	b.WriteString(indent)
	for i, cell := range cells {
		if i > 0 {
			b.WriteString("  ")
		}
		pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
		if t.columns[i].right {
			b.WriteString(pad + cell)
		} else {
			b.WriteString(cell + pad)
		}
	}
	_, err := io.WriteString(w, strings.TrimRight(b.String(), " ")+"\n")
	return err
}

// grouped writes a number with a comma between groups of three digits.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// shortAge writes whole seconds as people say them: 42s, 3m07s, 2h05m, 3d04h.
func shortAge(seconds int64) string {
	d := time.Duration(seconds) * time.Second
	two := func(n int64, unit string) string {
		s := strconv.FormatInt(n, 10)
		if n < 10 {
			s = "0" + s
		}
		return s + unit
	}
	switch {
	case seconds < 60:
		return strconv.FormatInt(seconds, 10) + "s"
	case d < time.Hour:
		return strconv.FormatInt(seconds/60, 10) + "m" + two(seconds%60, "s")
	case d < 24*time.Hour:
		return strconv.FormatInt(seconds/3600, 10) + "h" + two(seconds%3600/60, "m")
	}
	return strconv.FormatInt(seconds/86400, 10) + "d" + two(seconds%86400/3600, "h")
}

// count writes a number of things: "1 flow", "2 flows", "0 flows".
func count(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return grouped(n) + " " + noun + "s"
}
