package wire

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// Header is the first line of every XML answer.
const Header = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"

// AppendXML writes the fields of a struct as elements, without white space between
// them. The tag xml names the element; a field without one is left out. Nil pointers
// and empty strings are left out; a string with ",empty" never is. A slice is an element with an <item> for each of
// its own, and is there when empty too, because clients read its key unasked; with
// ",omitempty" it is not.
func AppendXML(b *bytes.Buffer, v any) error {
	return appendStruct(b, reflect.Indirect(reflect.ValueOf(v)))
}

func appendStruct(b *bytes.Buffer, v reflect.Value) error {
	for i := range v.NumField() {
		name, option, _ := strings.Cut(v.Type().Field(i).Tag.Get("xml"), ",")
		if name == "" {
			continue
		}
		if option == "omitempty" && v.Field(i).IsZero() {
			continue
		}
		if option == "empty" && v.Field(i).IsZero() {
			AppendElement(b, name, "")
			continue
		}
		if err := appendElement(b, name, v.Field(i)); err != nil {
			return err
		}
	}
	return nil
}

func appendElement(b *bytes.Buffer, name string, v reflect.Value) error {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return appendElement(b, name, v.Elem())
	case reflect.String:
		if v.Len() > 0 {
			AppendElement(b, name, v.String())
		}
	case reflect.Bool:
		AppendElement(b, name, strconv.FormatBool(v.Bool()))
	case reflect.Int, reflect.Int32, reflect.Int64:
		AppendElement(b, name, strconv.FormatInt(v.Int(), 10))
	case reflect.Struct:
		b.WriteString("<" + name + ">")
		if err := appendStruct(b, v); err != nil {
			return err
		}
		b.WriteString("</" + name + ">")
	case reflect.Slice:
		if v.Len() == 0 {
			b.WriteString("<" + name + "/>")
			return nil
		}
		b.WriteString("<" + name + ">")
		for i := range v.Len() {
			if err := appendElement(b, "item", v.Index(i)); err != nil {
				return err
			}
		}
		b.WriteString("</" + name + ">")
	default:
		return fmt.Errorf("encode element %s: kind %s is not supported", name, v.Kind())
	}
	return nil
}

// AppendElement writes one element with text, escaped.
func AppendElement(b *bytes.Buffer, name, text string) {
	b.WriteString("<" + name + ">")
	xml.EscapeText(b, []byte(text)) // a bytes.Buffer never fails
	b.WriteString("</" + name + ">")
}
