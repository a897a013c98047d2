package cloudshell

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// jsonObject is an object of JSON that remembers the order of its keys. Of a key that
// comes twice the last value counts, as in Python.
type jsonObject struct {
	keys   []string
	values map[string]any // nil, bool, string, json.Number, []any, *jsonObject
}

func (o *jsonObject) get(key string) (any, bool) {
	v, ok := o.values[key]
	return v, ok
}

// parseJSON reads one value. White space around it and a byte order mark are passed
// over, anything else behind it is an error.
func parseJSON(text []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))))
	d.UseNumber()
	left := maxElements
	v, err := readJSON(d, maxDepth, &left)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is something behind the value")
	}
	return v, nil
}

func readJSON(d *json.Decoder, depth int, left *int) (any, error) {
	if *left--; depth == 0 || *left < 0 {
		return nil, fmt.Errorf("more than %d values, or more than %d inside each other", maxElements, maxDepth)
	}
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('['):
		list := []any{}
		for d.More() {
			v, err := readJSON(d, depth-1, left)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := d.Token()
		return list, err
	case json.Delim('{'):
		o := &jsonObject{values: map[string]any{}}
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return nil, err
			}
			name, ok := key.(string)
			if !ok {
				return nil, errors.New("a key is not a string")
			}
			v, err := readJSON(d, depth-1, left)
			if err != nil {
				return nil, err
			}
			if _, again := o.values[name]; !again {
				o.keys = append(o.keys, name)
			}
			o.values[name] = v
		}
		_, err := d.Token()
		return o, err
	}
	return token, nil
}

// elementOf turns the JSON of the REST variant into what the XML of the same request
// gives: an object's class stands in its member __name__.
func elementOf(name string, value any) *element {
	e := &element{name: name}
	switch v := value.(type) {
	case string:
		e.text = v
	case json.Number:
		e.text = v.String()
	case bool:
		e.text = fmt.Sprint(v)
	case []any:
		for _, item := range v {
			e.children = append(e.children, elementOf(className(item), item))
		}
	case *jsonObject:
		for _, key := range v.keys {
			if key != "__name__" && v.values[key] != nil {
				e.children = append(e.children, elementOf(key, v.values[key]))
			}
		}
	}
	return e
}

func className(item any) string {
	if o, ok := item.(*jsonObject); ok {
		if name, ok := o.values["__name__"].(string); ok {
			return name
		}
		return "object"
	}
	return "string"
}
