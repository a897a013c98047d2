package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"unicode"
)

// DecodeJSON reads a body, which CheckJSON has passed, into the struct that into
// points at. A member is the field of exactly its name; members that the struct does
// not have are skipped, null is absent, and of equal members the last counts. Fields
// may be *string, *bool, *int32, pointers to structs, slices of strings or structs,
// and maps from strings to structs or slices of strings. The error is a
// *SerializationError that names the member.
func DecodeJSON(body []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	d := decoder{dec: dec, left: MaxValues}
	tok, err := d.token()
	if err != nil {
		return err
	}
	if tok != json.Delim('{') {
		return d.mismatch(tok, "a Structure", "")
	}
	return d.structure(reflect.ValueOf(into).Elem(), "")
}

type decoder struct {
	dec  *json.Decoder
	left int // values that may still be kept
}

func (d *decoder) token() (json.Token, error) {
	tok, err := d.dec.Token()
	if err != nil {
		return nil, &SerializationError{}
	}
	return tok, nil
}

// structure reads members up to the closing brace.
func (d *decoder) structure(v reflect.Value, path string) error {
	for d.dec.More() {
		name, err := d.token()
		if err != nil {
			return err
		}
		field, ok := v.Type().FieldByName(name.(string))
		if !ok || !field.IsExported() {
			if err := d.skip(); err != nil {
				return err
			}
			continue
		}
		target := v.FieldByIndex(field.Index)
		target.SetZero()
		if err := d.value(target, join(path, lowerCamel(field.Name))); err != nil {
			return err
		}
	}
	_, err := d.token()
	return err
}

// value reads one value into a field; null leaves the field at nil.
func (d *decoder) value(v reflect.Value, path string) error {
	tok, err := d.token()
	if err != nil || tok == nil {
		return err
	}
	switch v.Kind() {
	case reflect.Slice:
		if tok != json.Delim('[') {
			return d.expected("list", path)
		}
		return d.list(v, path)
	case reflect.Map:
		if tok != json.Delim('{') {
			return d.expected("map", path)
		}
		return d.dictionary(v, path)
	case reflect.Pointer:
		elem := reflect.New(v.Type().Elem())
		if elem.Elem().Kind() == reflect.Struct {
			if tok != json.Delim('{') {
				return d.expected("structure", path)
			}
			if err := d.structure(elem.Elem(), path); err != nil {
				return err
			}
		} else if err := d.scalar(elem.Elem(), tok, path); err != nil {
			return err
		}
		v.Set(elem)
		return nil
	}
	return fmt.Errorf("decode member %s: field kind %s is not supported", path, v.Kind())
}

func (d *decoder) list(v reflect.Value, path string) error {
	v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	for i := 1; d.dec.More(); i++ {
		elem := reflect.New(v.Type().Elem()).Elem()
		if err := d.element(elem, fmt.Sprintf("%s.%d.member", path, i)); err != nil {
			return err
		}
		v.Set(reflect.Append(v, elem))
	}
	_, err := d.token()
	return err
}

func (d *decoder) dictionary(v reflect.Value, path string) error {
	v.Set(reflect.MakeMap(v.Type()))
	for d.dec.More() {
		key, err := d.token()
		if err != nil {
			return err
		}
		elem := reflect.New(v.Type().Elem()).Elem()
		if err := d.element(elem, fmt.Sprintf("%s.%s.member", path, key)); err != nil {
			return err
		}
		v.SetMapIndex(reflect.ValueOf(key.(string)), elem)
	}
	_, err := d.token()
	return err
}

// element reads a value of a list or map, where null has no meaning.
func (d *decoder) element(v reflect.Value, path string) error {
	if d.left--; d.left < 0 {
		return &SerializationError{Message: "Body has too many values"}
	}
	if v.Kind() == reflect.Slice {
		return d.value(v, path)
	}
	tok, err := d.token()
	if err != nil {
		return err
	}
	if v.Kind() != reflect.Struct {
		return d.scalar(v, tok, path)
	}
	if tok != json.Delim('{') {
		return d.mismatch(tok, "a Structure", path)
	}
	return d.structure(v, path)
}

func (d *decoder) scalar(v reflect.Value, tok json.Token, path string) error {
	switch v.Kind() {
	case reflect.String:
		if s, ok := tok.(string); ok {
			v.SetString(s)
			return nil
		}
		return d.mismatch(tok, "a String", path)
	case reflect.Bool:
		if b, ok := tok.(bool); ok {
			v.SetBool(b)
			return nil
		}
		return d.mismatch(tok, "a Boolean", path)
	case reflect.Int32:
		if n, ok := tok.(json.Number); ok {
			if i, ok := integer(n.String()); ok {
				v.SetInt(i)
				return nil
			}
		}
		return d.mismatch(tok, "an Integer", path)
	}
	return fmt.Errorf("decode member %s: field kind %s is not supported", path, v.Kind())
}

// integer reads a JSON number that is a whole one of 32 bits, however it is written.
func integer(s string) (int64, bool) {
	if i, err := strconv.ParseInt(s, 10, 32); err == nil {
		return i, true
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f != math.Trunc(f) || f < math.MinInt32 || f > math.MaxInt32 {
		return 0, false
	}
	return int64(f), true
}

// skip passes over one value of any kind.
func (d *decoder) skip() error {
	for depth := 0; ; {
		tok, err := d.token()
		if err != nil {
			return err
		}
		switch tok {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}

func (d *decoder) expected(what, path string) error {
	return &SerializationError{Message: "Expected " + what + " or null, at '" + path + "'"}
}

// mismatch says in the front end's words what was found in place of a type.
func (d *decoder) mismatch(tok json.Token, want, path string) error {
	var m string
	switch t := tok.(type) {
	case json.Delim:
		m = "Start of structure or map found where not expected"
		if t == '[' {
			m = "Start of list found where not expected"
		}
	case json.Number:
		m = "NUMBER_VALUE can not be converted to " + want
	case string:
		m = "STRING_VALUE can not be converted to " + want
	case bool:
		m = strings.ToUpper(strconv.FormatBool(t)) + "_VALUE can not be converted to " + want
	default:
		m = "NULL_VALUE can not be converted to " + want
	}
	if path != "" {
		m += ", at '" + path + "'"
	}
	return &SerializationError{Message: m}
}

func join(path, member string) string {
	if path == "" {
		return member
	}
	return path + "." + member
}

// lowerCamel is how messages of the front end spell a member.
func lowerCamel(member string) string {
	r := []rune(member)
	r[0] = unicode.ToLower(r[0])
	return string(r)
}
