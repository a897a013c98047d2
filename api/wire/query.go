package wire

import (
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// MaxParameters bounds a query: 200 filter values and 1,000 ids are far below it.
const MaxParameters = 5_000

// QueryError is a query that can't be read. Code is the EC2 error code.
type QueryError struct{ Code, Message string }

// Error returns the message.
func (e *QueryError) Error() string { return e.Message }

// Parameter is one parameter of a query, in the order of the request.
type Parameter struct{ Name, Value string }

// ParseQuery reads a form body or a query string.
func ParseQuery(raw string) ([]Parameter, error) {
	var out []Parameter
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		if len(out) == MaxParameters {
			return nil, &QueryError{"MalformedQueryString", "The query string has too many parameters"}
		}
		name, value, _ := strings.Cut(part, "=")
		n, nerr := url.QueryUnescape(name)
		v, verr := url.QueryUnescape(value)
		if nerr != nil || verr != nil {
			return nil, &QueryError{"MalformedQueryString", "The query string is malformed"}
		}
		out = append(out, Parameter{n, v})
	}
	return out, nil
}

// Find returns the value of a parameter, and "" when it is not there.
func Find(params []Parameter, name string) string {
	for _, p := range slices.Backward(params) {
		if p.Name == name {
			return p.Value
		}
	}
	return ""
}

// node is a parameter's name, cut at its dots, as a tree.
type node struct {
	value    string
	children map[string]*node
}

// DecodeQuery reads parameters into the struct that into points at, whose fields
// name theirs in the tag query. Fields may be *string, *bool, *int32, pointers to
// structs, which are Name.Member, and slices of strings or structs, which are Name.1,
// Name.2 … with gaps allowed. Parameters of the protocol (Action, Version, X-Amz-…)
// are passed over, others that the struct does not have are an error, and so is one
// that is missing or empty and whose field has required:"true", or that is given twice:
// which of the two is meant, nobody can tell. The error is a *QueryError.
func DecodeQuery(params []Parameter, into any) error {
	root := &node{}
	v := reflect.ValueOf(into).Elem()
	given := make(map[string]bool, len(params))
	for _, p := range params {
		if strings.HasPrefix(p.Name, "X-Amz-") {
			continue
		}
		if given[p.Name] {
			return &QueryError{"InvalidQueryParameter", "The parameter " + clip(p.Name) + " is given more than once"}
		}
		given[p.Name] = true
		if p.Name == "Action" || p.Name == "Version" {
			continue
		}
		parts := strings.Split(p.Name, ".")
		if !known(v.Type(), parts) {
			return &QueryError{"UnknownParameter", "The parameter " + clip(p.Name) + " is not recognized"}
		}
		n := root
		for _, part := range parts {
			if n.children == nil {
				n.children = map[string]*node{}
			}
			if n.children[part] == nil {
				n.children[part] = &node{}
			}
			n = n.children[part]
		}
		n.value = p.Value
	}
	if name := missing(v.Type(), root); name != "" {
		return &QueryError{"MissingParameter", "The request must contain the parameter " + name}
	}
	return fill(v, root, "")
}

// missing returns the first required parameter that is not there, and "" for none.
func missing(t reflect.Type, n *node) string {
	for i := range t.NumField() {
		f := t.Field(i)
		name := f.Tag.Get("query")
		if f.Anonymous {
			if name = missing(f.Type, n); name != "" {
				return name
			}
			continue
		}
		child := n.children[name]
		if f.Tag.Get("required") == "true" && (child == nil || child.value == "" && child.children == nil) {
			return name
		}
	}
	return ""
}

// known tells whether a name leads to a scalar of a type.
func known(t reflect.Type, parts []string) bool {
	switch t.Kind() {
	case reflect.Struct:
		if len(parts) == 0 {
			return false
		}
		for i := range t.NumField() {
			f := t.Field(i)
			if f.Anonymous && known(f.Type, parts) {
				return true
			}
			if f.Tag.Get("query") == parts[0] {
				return known(f.Type, parts[1:])
			}
		}
		return false
	case reflect.Slice:
		if len(parts) == 0 {
			return false
		}
		_, ok := index(parts[0])
		return ok && known(t.Elem(), parts[1:])
	case reflect.Pointer:
		if t.Elem().Kind() == reflect.Struct {
			return known(t.Elem(), parts)
		}
	}
	return len(parts) == 0
}

// index reads the position in a list, which counts from one.
func index(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 31)
	return int(n), err == nil && n > 0 && s[0] != '0'
}

func fill(v reflect.Value, n *node, path string) error {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Anonymous {
			if err := fill(v.Field(i), n, path); err != nil {
				return err
			}
			continue
		}
		name := f.Tag.Get("query")
		child := n.children[name]
		if child == nil {
			continue
		}
		if err := fillField(v.Field(i), child, path+name); err != nil {
			return err
		}
	}
	return nil
}

func fillField(v reflect.Value, n *node, path string) error {
	if v.Kind() != reflect.Slice {
		elem := reflect.New(v.Type().Elem())
		v.Set(elem)
		if elem.Elem().Kind() == reflect.Struct {
			return fill(elem.Elem(), n, path+".")
		}
		return scalar(elem.Elem(), n.value, path)
	}
	positions := make([]int, 0, len(n.children))
	byPosition := make(map[int]*node, len(n.children))
	for key, child := range n.children {
		i, _ := index(key)
		positions = append(positions, i)
		byPosition[i] = child
	}
	slices.Sort(positions)
	for _, i := range slices.Compact(positions) {
		elem := reflect.New(v.Type().Elem()).Elem()
		at := path + "." + strconv.Itoa(i)
		var err error
		if elem.Kind() == reflect.Struct {
			err = fill(elem, byPosition[i], at+".")
		} else {
			err = scalar(elem, byPosition[i].value, at)
		}
		if err != nil {
			return err
		}
		v.Set(reflect.Append(v, elem))
	}
	return nil
}

func scalar(v reflect.Value, s, path string) error {
	switch v.Kind() {
	case reflect.String:
		v.SetString(s)
	case reflect.Bool:
		switch {
		case strings.EqualFold(s, "true"):
			v.SetBool(true)
		case !strings.EqualFold(s, "false"):
			return InvalidValue(path, s, "Expecting true or false.")
		}
	case reflect.Int32:
		n, err := strconv.ParseInt(s, 10, 32)
		if err != nil {
			return InvalidValue(path, s, "Expecting an integer.")
		}
		v.SetInt(n)
	default:
		return fmt.Errorf("decode parameter %s: field kind %s is not supported", path, v.Kind())
	}
	return nil
}

// InvalidValue is the error of a value that its parameter can't take.
func InvalidValue(parameter, value, reason string) *QueryError {
	return &QueryError{"InvalidParameterValue", "Value (" + clip(value) + ") for parameter " + parameter + " is invalid. " + reason}
}
