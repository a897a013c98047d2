package cloudshell

import (
	"encoding/xml"
	"strconv"
	"strings"
)

// The parts of the envelope. Clients take the declaration of the default namespace out
// by comparing bytes, so its spelling and its quotes are part of the protocol.
const (
	envelopeHead = `<?xml version="1.0" encoding="utf-8"?><Response CommandName="`
	envelopeTail = ` xmlns="http://schemas.qualisystems.com/ResourceManagement/ApiCommandResult.xsd"` +
		` xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">`
)

// info is the ResponseInfo of an answer: its class and what is in it. Without a class
// there is none. Scalars are attributes, empty elements close themselves and nothing
// is indented: clients drop items without attributes, and take white space for values.
type info struct {
	class string
	text  strings.Builder
	attrs []string // of ResponseInfo itself, names and values
}

func newInfo(class string, attrs ...string) *info { return &info{class: class, attrs: attrs} }

// open begins an element. attrs are names and values by turns.
func (i *info) open(name string, attrs ...string) {
	i.start(name, attrs)
	i.text.WriteString(">")
}

func (i *info) close(name string) { i.text.WriteString("</" + name + ">") }

// empty writes an element that has attributes at most, without a blank before the
// slash: some clients look for Token with a regular expression.
func (i *info) empty(name string, attrs ...string) {
	i.start(name, attrs)
	i.text.WriteString("/>")
}

func (i *info) start(name string, attrs []string) {
	i.text.WriteString("<" + name)
	writeAttributes(&i.text, attrs)
}

// leaf writes an element with text.
func (i *info) leaf(name, text string) {
	i.text.WriteString("<" + name + ">")
	escape(&i.text, text)
	i.close(name)
}

// list writes a wrapper around n items, which closes itself where there are none.
func (i *info) list(name string, n int, item func(k int)) {
	if n == 0 {
		i.empty(name)
		return
	}
	i.open(name)
	for k := range n {
		item(k)
	}
	i.close(name)
}

func writeAttributes(b *strings.Builder, attrs []string) {
	for k := 0; k+1 < len(attrs); k += 2 {
		b.WriteString(" " + attrs[k] + `="`)
		escape(b, attrs[k+1])
		b.WriteString(`"`)
	}
}

// escape writes text with all that XML wants escaped; what XML 1.0 forbids becomes
// U+FFFD.
func escape(b *strings.Builder, text string) {
	xml.EscapeText(b, []byte(text)) // a strings.Builder never fails
}

// succeeded is the answer to an operation that was carried out; i may be nil.
func succeeded(operation string, i *info) string {
	var b strings.Builder
	writeHead(&b, operation, true)
	b.WriteString("<ErrorCode>0</ErrorCode>")
	if i != nil {
		b.WriteString(`<ResponseInfo xsi:type="` + i.class + `"`)
		writeAttributes(&b, i.attrs)
		if i.text.Len() == 0 {
			b.WriteString("/>")
		} else {
			b.WriteString(">" + i.text.String() + "</ResponseInfo>")
		}
	}
	b.WriteString("</Response>")
	return b.String()
}

// failed is the answer to one that was not. Clients can't print an error without text.
func failed(operation string, code int, message string) string {
	if message == "" {
		message = "Unknown error"
	}
	var b strings.Builder
	writeHead(&b, operation, false)
	b.WriteString("<Error>")
	escape(&b, message)
	b.WriteString("</Error><ErrorCode>" + strconv.Itoa(code) + "</ErrorCode></Response>")
	return b.String()
}

func writeHead(b *strings.Builder, operation string, success bool) {
	b.WriteString(envelopeHead)
	escape(b, operation)
	b.WriteString(`" Success="` + strconv.FormatBool(success) + `"` + envelopeTail)
}
