package wire

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"sluice"
)

// Shape is the constraint of a member, as the service model states it. Min and Max
// bound the value of a number, the characters of a string or the length of a list.
type Shape struct {
	Min, Max *int
	Pattern  *Pattern
	Enum     []string
}

// Pattern is a regular expression that a whole string has to match.
type Pattern struct {
	text string
	expr *regexp.Regexp
}

// NewPattern compiles a pattern of a service model. It panics on a malformed one,
// since patterns are written in this program.
func NewPattern(text string) *Pattern {
	return &Pattern{text, regexp.MustCompile(`\A(?:` + text + `)\z`)}
}

// String returns the pattern as the model writes it.
func (p *Pattern) String() string { return p.text }

// Between is a Shape with bounds; a negative one is absent.
func Between(low, high int) Shape {
	var s Shape
	if low >= 0 {
		s.Min = &low
	}
	if high >= 0 {
		s.Max = &high
	}
	return s
}

// Matching adds a pattern to a Shape.
func (s Shape) Matching(pattern string) Shape {
	s.Pattern = NewPattern(pattern)
	return s
}

// OneOf is a Shape with an enumeration.
func OneOf(values ...string) Shape { return Shape{Enum: values} }

// Bounds of a ValidationError, so that no answer grows with the request.
const (
	maxValidationErrors = 10 // the front end stops there too
	maxValueEcho        = 1024
)

// ValidationError is one or more values that break the constraints of their shape.
type ValidationError struct{ Problems []string }

// Error writes the problems as the front end does.
func (e *ValidationError) Error() string {
	noun := "errors"
	if len(e.Problems) == 1 {
		noun = "error"
	}
	return fmt.Sprintf("%d validation %s detected: %s", len(e.Problems), noun, strings.Join(e.Problems, "; "))
}

// Shapes are the shapes of a service by name. The fields of a request name theirs in
// the tag shape, and the shape of their elements (for maps: of their keys) in the
// tag of; required:"true" is a member that must be there.
type Shapes map[string]Shape

// Validate checks a request against its shapes. The error is a *ValidationError.
func (s Shapes) Validate(request any) error {
	v := validation{shapes: s}
	v.structure(reflect.ValueOf(request).Elem(), "")
	if len(v.problems) > 0 {
		return &ValidationError{v.problems}
	}
	return nil
}

type validation struct {
	shapes   Shapes
	problems []string
}

func (v *validation) add(value, path, constraint string) {
	if len(v.problems) < maxValidationErrors {
		v.problems = append(v.problems, "Value "+sluice.Clip(value)+" at '"+path+"' failed to satisfy constraint: "+constraint)
	}
}

func (v *validation) structure(s reflect.Value, path string) {
	for i := range s.NumField() {
		field, at := s.Type().Field(i), s.Field(i)
		where := join(path, lowerCamel(field.Name))
		if field.Anonymous {
			v.structure(at, path)
			continue
		}
		if at.IsNil() {
			if field.Tag.Get("required") == "true" {
				v.add("null", where, "Member must not be null")
			}
			continue
		}
		v.member(at, where, v.shape(field.Tag.Get("shape")), v.shape(field.Tag.Get("of")))
	}
}

// shape finds a shape. A name that is missing in the table is a mistake in this
// program, which the tests of the operation table find.
func (v *validation) shape(name string) Shape {
	s, ok := v.shapes[name]
	if !ok && name != "" {
		panic("shape " + name + " is not in the table")
	}
	return s
}

func (v *validation) member(at reflect.Value, path string, shape, of Shape) {
	switch at.Kind() {
	case reflect.Pointer:
		if at.Elem().Kind() == reflect.Struct {
			v.structure(at.Elem(), path)
			return
		}
		for _, c := range shape.broken(at.Elem()) {
			v.add("'"+show(at.Elem())+"'", path, c)
		}
	case reflect.Slice:
		v.length(at, path, shape)
		v.elements(at, path, of)
	case reflect.Map:
		v.length(at, path, shape)
		v.dictionary(at, path, of)
	}
}

func (v *validation) length(at reflect.Value, path string, shape Shape) {
	for _, c := range shape.bounds(at.Len(), "length") {
		v.add("'"+show(at)+"'", path, c)
	}
}

// elements checks a list. The front end names the list, not the element, where
// scalars break a constraint.
func (v *validation) elements(list reflect.Value, path string, of Shape) {
	for i := range list.Len() {
		elem := list.Index(i)
		if elem.Kind() == reflect.Struct {
			v.structure(elem, fmt.Sprintf("%s.%d.member", path, i+1))
			continue
		}
		if len(of.broken(elem)) > 0 {
			v.add("'"+show(list)+"'", path, "Member must satisfy constraint: ["+strings.Join(of.all(), ", ")+"]")
			return
		}
	}
}

func (v *validation) dictionary(m reflect.Value, path string, of Shape) {
	keys := m.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	for _, key := range keys {
		if len(of.broken(key)) > 0 {
			v.add("'"+clip(key.String())+"'", path, "Map keys must satisfy constraint: ["+strings.Join(of.all(), ", ")+"]")
		}
		if elem := m.MapIndex(key); elem.Kind() == reflect.Struct {
			v.structure(elem, path+"."+clip(key.String())+".member")
		}
	}
}

// broken returns the constraints that a scalar does not satisfy.
func (s Shape) broken(v reflect.Value) []string {
	switch v.Kind() {
	case reflect.Int32:
		return s.bounds(int(v.Int()), "value")
	case reflect.String:
		var out []string
		text := v.String()
		if s.Enum != nil && !slices.Contains(s.Enum, text) {
			out = append(out, s.enum())
		}
		out = append(out, s.bounds(utf8.RuneCountInString(text), "length")...)
		if s.Pattern != nil && !s.Pattern.expr.MatchString(text) {
			out = append(out, s.pattern())
		}
		return out
	}
	return nil
}

func (s Shape) bounds(n int, noun string) []string {
	var out []string
	if s.Min != nil && n < *s.Min {
		out = append(out, s.least(noun))
	}
	if s.Max != nil && n > *s.Max {
		out = append(out, s.most(noun))
	}
	return out
}

// all returns every constraint of a string shape.
func (s Shape) all() []string {
	var out []string
	if s.Max != nil {
		out = append(out, s.most("length"))
	}
	if s.Min != nil {
		out = append(out, s.least("length"))
	}
	if s.Pattern != nil {
		out = append(out, s.pattern())
	}
	if s.Enum != nil {
		out = append(out, s.enum())
	}
	return out
}

func (s Shape) least(noun string) string {
	return "Member must have " + noun + " greater than or equal to " + strconv.Itoa(*s.Min)
}

func (s Shape) most(noun string) string {
	return "Member must have " + noun + " less than or equal to " + strconv.Itoa(*s.Max)
}

func (s Shape) pattern() string {
	return "Member must satisfy regular expression pattern: " + s.Pattern.text
}

func (s Shape) enum() string {
	return "Member must satisfy enum value set: [" + strings.Join(s.Enum, ", ") + "]"
}

// show writes a value into a message. Structures are not shown.
func show(v reflect.Value) string {
	switch v.Kind() {
	case reflect.String:
		return clip(v.String())
	case reflect.Int32:
		return strconv.FormatInt(v.Int(), 10)
	case reflect.Slice:
		var b strings.Builder
		for i := range v.Len() {
			if b.Len() > maxValueEcho {
				break
			}
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(show(v.Index(i)))
		}
		return "[" + clip(b.String()) + "]"
	}
	return "{}"
}

func clip(s string) string {
	if len(s) > maxValueEcho {
		return strings.ToValidUTF8(s[:maxValueEcho], "") + "..."
	}
	return s
}
