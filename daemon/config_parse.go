package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// ParseConfig reads the text of a configuration. The tree is walked here rather
// than by the YAML package, so that errors name keys and lines instead of Go
// types.
func ParseConfig(text []byte) (Config, error) {
	c := DefaultConfig()
	if len(text) > maxConfigBytes {
		return Config{}, fmt.Errorf("larger than %d bytes", maxConfigBytes)
	}
	var doc yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(text))
	err := dec.Decode(&doc)
	if errors.Is(err, io.EOF) { // nothing but comments: all defaults
		return c, nil
	}
	if err != nil {
		return Config{}, err
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return Config{}, errors.New("more than one document")
	}
	d := configDecoder{lines: map[string]int{}}
	if !isNull(doc.Content[0]) {
		d.value(doc.Content[0], "", reflect.ValueOf(&c).Elem())
	}
	if len(d.problems) == 0 { // what is not well formed would only cause more errors
		c.validate(&d)
	}
	if len(d.problems) > 0 {
		return Config{}, errors.Join(d.problems...)
	}
	return c, nil
}

// maxConfigProblems bounds how many problems one error lists.
const maxConfigProblems = 20

// configDecoder collects what is wrong and remembers where each key stood.
type configDecoder struct {
	lines    map[string]int
	problems []error
}

// problem records that a key is wrong.
func (d *configDecoder) problem(path, format string, args ...any) {
	if len(d.problems) >= maxConfigProblems {
		return
	}
	where := path
	if line := d.lines[path]; line > 0 {
		where = fmt.Sprintf("line %d: %s", line, path)
	}
	d.problems = append(d.problems, fmt.Errorf("%s: %s", where, fmt.Sprintf(format, args...)))
}

func (d *configDecoder) value(n *yaml.Node, path string, v reflect.Value) {
	d.lines[path] = n.Line
	if n.Kind == yaml.AliasNode {
		d.problem(path, "aliases are not supported")
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		d.value(n, path, p.Elem())
		v.Set(p)
	case reflect.Struct:
		d.mapping(n, path, v)
	case reflect.Slice:
		d.sequence(n, path, v)
	default:
		if n.Kind != yaml.ScalarNode {
			d.problem(path, "want %s, not a %s", kindName(v), nodeName(n))
			return
		}
		d.scalar(n, path, v)
	}
}

// mapping fills a struct. A key without a value counts as absent, but for a list:
// there it is a list without entries, since a list whose entries are commented out
// must not turn from a few into all.
func (d *configDecoder) mapping(n *yaml.Node, path string, v reflect.Value) {
	if n.Kind != yaml.MappingNode {
		d.problem(orRoot(path), "want keys and values, not a %s", nodeName(n))
		return
	}
	fields := map[string]int{}
	var names []string
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("yaml")
		fields[name] = i
		names = append(names, name)
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := key.Value
		if path != "" {
			at = path + "." + key.Value
		}
		d.lines[at] = key.Line
		field, known := fields[key.Value]
		switch {
		case key.Kind != yaml.ScalarNode || !known:
			d.problem(at, "unknown key; known are %s", strings.Join(names, ", "))
		case seen[key.Value]:
			d.problem(at, "set twice")
		case !isNull(value):
			d.value(value, at, v.Field(field))
		case v.Field(field).Kind() == reflect.Slice:
			v.Field(field).Set(reflect.MakeSlice(v.Field(field).Type(), 0, 0))
		}
		seen[key.Value] = true
	}
}

func (d *configDecoder) sequence(n *yaml.Node, path string, v reflect.Value) {
	if n.Kind != yaml.SequenceNode {
		d.problem(path, "want a list, not a %s", nodeName(n))
		return
	}
	// An empty list is not nil: it means none, and an absent one all.
	out := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, c := range n.Content {
		d.value(c, fmt.Sprintf("%s[%d]", path, i), out.Index(i))
	}
	v.Set(out)
}

// scalar reads a value by the text that was written, so that account_id keeps its
// zeros without quotes.
func (d *configDecoder) scalar(n *yaml.Node, path string, v reflect.Value) {
	bad := func() { d.problem(path, "want %s, not %q", kindName(v), n.Value) }
	switch target := v.Addr().Interface().(type) {
	case *time.Duration:
		x, err := time.ParseDuration(n.Value)
		if err != nil {
			bad()
		}
		*target = x
	case *string:
		if tag := n.ShortTag(); tag != "!!str" && tag != "!!int" && tag != "!!float" {
			bad()
		}
		*target = n.Value
	case *bool:
		if n.ShortTag() != "!!bool" {
			bad()
		}
		*target = strings.EqualFold(n.Value, "true")
	case *int:
		x, err := strconv.Atoi(n.Value)
		if err != nil || n.ShortTag() != "!!int" {
			bad()
		}
		*target = x
	case *int64:
		x, err := strconv.ParseInt(n.Value, 10, 64)
		if err != nil || n.ShortTag() != "!!int" {
			bad()
		}
		*target = x
	default:
		panic(fmt.Sprintf("config: no decoder for %s of type %T", path, target))
	}
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

func orRoot(path string) string {
	if path == "" {
		return "the file"
	}
	return path
}

func kindName(v reflect.Value) string {
	switch v.Addr().Interface().(type) {
	case *time.Duration:
		return `a duration such as "60s"`
	case *bool:
		return "true or false"
	case *int, *int64:
		return "a whole number"
	}
	return "a string"
}

func nodeName(n *yaml.Node) string {
	names := []string{"mapping", "list", "single value"}
	kinds := []yaml.Kind{yaml.MappingNode, yaml.SequenceNode, yaml.ScalarNode}
	if i := slices.Index(kinds, n.Kind); i >= 0 {
		return names[i]
	}
	return "alias"
}
