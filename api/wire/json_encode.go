package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"
)

// EncodeJSON writes an answer. Its types are ordinary structs for encoding/json.
func EncodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode answer: %w", err)
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// Timestamp is a time that is written as a number: seconds since 1970 with
// milliseconds, never with an exponent, since the Go SDK takes nothing else.
type Timestamp time.Time

// MarshalJSON writes the number.
func (t Timestamp) MarshalJSON() ([]byte, error) {
	ms := time.Time(t).UnixMilli()
	b := strconv.AppendInt(nil, ms/1000, 10)
	if rest := ms % 1000; rest > 0 {
		b = fmt.Appendf(b, ".%03d", rest)
	}
	return b, nil
}

// Int32 makes a count an int32 that stays at the largest value instead of wrapping,
// as the Go SDK would let it.
func Int32[N int | int64 | uint64](n N) int32 {
	if n > math.MaxInt32 {
		return math.MaxInt32
	}
	return int32(n)
}
