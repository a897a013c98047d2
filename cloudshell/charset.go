package cloudshell

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strings"
)

// charsetReader decodes the body of a request that declares an encoding other than
// UTF-8, for xml.Decoder. The three that old clients declare are read.
func charsetReader(encoding string, body io.Reader) (io.Reader, error) {
	var upper func(byte) (rune, error) // of the bytes from 0x80 on
	switch strings.ToLower(encoding) {
	case "utf8":
		return body, nil
	case "us-ascii", "ascii":
		upper = func(b byte) (rune, error) { return 0, fmt.Errorf("byte %#x is not US-ASCII", b) }
	case "iso-8859-1", "latin1":
		upper = func(b byte) (rune, error) { return rune(b), nil }
	case "windows-1252", "cp1252":
		upper = func(b byte) (rune, error) { return windows1252(b), nil }
	default:
		return nil, fmt.Errorf("the body is in %s, which is not accepted; send UTF-8", cut(encoding))
	}
	return &charset{from: bufio.NewReader(body), upper: upper}, nil
}

// windows1252 is a byte from 0x80 on. The five that have no character stand for the
// control characters of the same number, as in browsers.
func windows1252(b byte) rune {
	const special = "€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ" // 0x80 to 0x9f
	if b >= 0xa0 {
		return rune(b)
	}
	return []rune(special)[b-0x80]
}

// charset reads an encoding of one byte per character as UTF-8.
type charset struct {
	from  *bufio.Reader
	upper func(byte) (rune, error)
	left  bytes.Buffer // decoded, and not read yet
}

// Read fills p as far as what is left of the body goes.
func (c *charset) Read(p []byte) (int, error) {
	for c.left.Len() < len(p) {
		b, err := c.from.ReadByte()
		if err != nil && c.left.Len() > 0 {
			break // the next call meets it again
		}
		if err != nil {
			return 0, err
		}
		if b < 0x80 {
			c.left.WriteByte(b)
			continue
		}
		r, err := c.upper(b)
		if err != nil {
			return 0, err
		}
		c.left.WriteRune(r)
	}
	return c.left.Read(p)
}

// isUTF16 tells whether a body is UTF-16, by its mark or by the zero beside its first
// character, which is never one of an XML document in UTF-8.
func isUTF16(body []byte) bool {
	return len(body) >= 2 && (body[0] == 0 || body[1] == 0 || body[0] == 0xfe && body[1] == 0xff || body[0] == 0xff && body[1] == 0xfe)
}
