package cloudshell

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// element is a part of a request, from XML or from JSON.
type element struct {
	name     string
	text     string // all text directly in it
	children []*element
}

// The bounds of a request's tree. The largest that a client sends, a blueprint's
// inputs, is four deep.
const (
	maxDepth    = 32
	maxElements = 100_000
)

var errNotXML = errors.New("the body is not well-formed XML")

// parseXML reads a request. White space between elements stays in text, which nobody
// reads of an element that has children, but to find what doesn't belong there.
func parseXML(body []byte) (*element, error) {
	if isUTF16(body) {
		return nil, errors.New("the body is in UTF-16, which is not accepted; send UTF-8")
	}
	d := xml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))))
	var unread error // why the declared encoding is not read
	d.CharsetReader = func(encoding string, body io.Reader) (r io.Reader, err error) {
		r, unread = charsetReader(encoding, body)
		return r, unread
	}
	declared := false
	var root *element
	var path []*element
	var texts []*strings.Builder
	for n := 0; ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if unread != nil {
			return nil, unread
		}
		if err != nil {
			return nil, notXML(err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			e := &element{name: t.Name.Local}
			if n++; n > maxElements || len(path) >= maxDepth {
				return nil, fmt.Errorf("the body has more than %d elements, or more than %d inside each other", maxElements, maxDepth)
			}
			if len(path) > 0 {
				parent := path[len(path)-1]
				parent.children = append(parent.children, e)
			} else if root != nil {
				return nil, fmt.Errorf("%w: a second root, %s", errNotXML, e.name)
			} else {
				root = e
			}
			path, texts = append(path, e), append(texts, &strings.Builder{})
		case xml.EndElement:
			path[len(path)-1].text = texts[len(texts)-1].String()
			path, texts = path[:len(path)-1], texts[:len(texts)-1]
		case xml.CharData:
			if len(texts) > 0 {
				texts[len(texts)-1].Write(t)
			} else if len(bytes.TrimSpace(t)) > 0 {
				return nil, fmt.Errorf("%w: text outside of the root", errNotXML)
			}
		case xml.ProcInst:
			if t.Target != "xml" {
				continue
			}
			if declared { // each would put another reader around the rest
				return nil, fmt.Errorf("%w: a second XML declaration", errNotXML)
			}
			declared = true
		case xml.Directive:
			return nil, errors.New("the body has a document type declaration, which is not accepted")
		}
	}
	if root == nil {
		return nil, fmt.Errorf("%w: it is empty", errNotXML)
	}
	return root, nil
}

// notXML tells where a body is malformed. What stands there may be half a password.
func notXML(err error) error {
	var e *xml.SyntaxError
	if errors.As(err, &e) {
		return fmt.Errorf("%w: line %d", errNotXML, e.Line)
	}
	return fmt.Errorf("%w: %w", errNotXML, err) // its bytes are not of its encoding
}

// child returns the first child of a name, and nil where there is none.
func (e *element) child(name string) *element {
	if e == nil {
		return nil
	}
	for _, c := range e.children {
		if c.name == name {
			return c
		}
	}
	return nil
}

// value returns the text of a child; "" where it is missing or empty.
func (e *element) value(name string) string {
	if c := e.child(name); c != nil {
		return c.text
	}
	return ""
}

// list returns the children of a child, whatever their names.
func (e *element) list(name string) []*element {
	if c := e.child(name); c != nil {
		return c.children
	}
	return nil
}

// strings returns a list of texts: those of the children of a child, or its own where
// it has none.
func (e *element) strings(name string) []string {
	c := e.child(name)
	if c == nil {
		return nil
	}
	var out []string
	for _, item := range c.children {
		out = append(out, item.text)
	}
	if own := strings.TrimSpace(c.text); len(c.children) == 0 && own != "" {
		out = append(out, own)
	}
	return out
}

// stray returns what stands in an element of elements beside them.
func (e *element) stray() string { return strings.TrimSpace(e.text) }
