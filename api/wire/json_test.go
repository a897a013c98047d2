package wire

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type inner struct {
	Text *string `shape:"Text" required:"true"`
}

type selectorPart struct {
	Name *string `shape:"Name"`
}

type sample struct {
	selectorPart
	Text    *string `shape:"Text"`
	Number  *int32  `shape:"Number"`
	Flag    *bool
	List    []string         `shape:"List" of:"Name"`
	Structs []inner          `json:",omitempty"`
	Map     map[string]inner `of:"Name"`
	Inner   *inner
	//lint:ignore U1000 what is not exported must not be filled in
	hidden *string
}

func ptr[T any](v T) *T { return &v }

func TestDecodeJSON(t *testing.T) {
	for _, c := range []struct {
		name, body string
		want       sample
	}{
		{"nothing", `{}`, sample{}},
		{"all", `{"Name":"n","Text":"t","Number":-5,"Flag":false,"List":["a",""],"Structs":[{"Text":"x"},{}],"Map":{"k":{"Text":"v"}},"Inner":{}}`,
			sample{selectorPart: selectorPart{ptr("n")}, Text: ptr("t"), Number: ptr[int32](-5), Flag: ptr(false), List: []string{"a", ""},
				Structs: []inner{{ptr("x")}, {}}, Map: map[string]inner{"k": {ptr("v")}}, Inner: &inner{}}},
		{"null is absent", `{"Text":null,"Number":null,"List":null,"Map":null,"Inner":null}`, sample{}},
		{"empty list is not absent", `{"List":[],"Map":{}}`, sample{List: []string{}, Map: map[string]inner{}}},
		{"unknown members", `{"Other":{"Text":[1,{"a":[]}]},"Text":"t","More":[[[]]]}`, sample{Text: ptr("t")}},
		{"names have a case", `{"text":"t","TEXT":"t","hidden":"h","selectorPart":{}}`, sample{}},
		{"last of equal members", `{"Text":"a","List":["x"],"Text":"b","List":["y"],"Inner":{"Text":"z"},"Inner":null}`,
			sample{Text: ptr("b"), List: []string{"y"}}},
		{"whole numbers in any writing", `{"Number":1.5e1}`, sample{Number: ptr[int32](15)}},
		{"escapes", `{"Text":"\u00e9\n\ud83d\ude00"}`, sample{Text: ptr("é\n😀")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := CheckJSON([]byte(c.body)); err != nil {
				t.Fatal(err)
			}
			var got sample
			if err := DecodeJSON([]byte(c.body), &got); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got, cmp.AllowUnexported(sample{})); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestTypeErrorsNameTheMember(t *testing.T) {
	for body, want := range map[string]string{
		`[]`:                              "Start of list found where not expected",
		`"x"`:                             "STRING_VALUE can not be converted to a Structure",
		`null`:                            "NULL_VALUE can not be converted to a Structure",
		`{"Text":5}`:                      "NUMBER_VALUE can not be converted to a String, at 'text'",
		`{"Text":true}`:                   "TRUE_VALUE can not be converted to a String, at 'text'",
		`{"Text":{}}`:                     "Start of structure or map found where not expected, at 'text'",
		`{"Text":[]}`:                     "Start of list found where not expected, at 'text'",
		`{"Number":"5"}`:                  "STRING_VALUE can not be converted to an Integer, at 'number'",
		`{"Number":5.5}`:                  "NUMBER_VALUE can not be converted to an Integer, at 'number'",
		`{"Number":2147483648}`:           "NUMBER_VALUE can not be converted to an Integer, at 'number'",
		`{"Number":1e400}`:                "NUMBER_VALUE can not be converted to an Integer, at 'number'",
		`{"Flag":"true"}`:                 "STRING_VALUE can not be converted to a Boolean, at 'flag'",
		`{"List":"x"}`:                    "Expected list or null, at 'list'",
		`{"List":["a",6]}`:                "NUMBER_VALUE can not be converted to a String, at 'list.2.member'",
		`{"List":[null]}`:                 "NULL_VALUE can not be converted to a String, at 'list.1.member'",
		`{"Structs":[7]}`:                 "NUMBER_VALUE can not be converted to a Structure, at 'structs.1.member'",
		`{"Map":[]}`:                      "Expected map or null, at 'map'",
		`{"Map":{"k":{"Text":false}}}`:    "FALSE_VALUE can not be converted to a String, at 'map.k.member.text'",
		`{"Inner":3}`:                     "Expected structure or null, at 'inner'",
		`{"Structs":[{},{"Text":["a"]}]}`: "Start of list found where not expected, at 'structs.2.member.text'",
	} {
		err := DecodeJSON([]byte(body), &sample{})
		if e, ok := errors.AsType[*SerializationError](err); !ok || e.Message != want {
			t.Errorf("%s: %v, want %s", body, err, want)
		}
	}
}

func TestBodiesThatAreNotJSON(t *testing.T) {
	for _, body := range []string{"", " ", "{", "}", `{"a":}`, `{"a":1}x`, `{"a" 1}`, "{\"a\":\"\n\"}", `{'a':1}`, `{"a":01}`, "\xef\xbb\xbf{}", `{"a":"\x"}`} {
		e, ok := errors.AsType[*SerializationError](CheckJSON([]byte(body)))
		if !ok || e.Message != "" {
			t.Errorf("%q: %v", body, e)
		}
	}
}

func TestBodiesAreBounded(t *testing.T) {
	deep := strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1)
	if err := CheckJSON([]byte(deep)); err == nil {
		t.Error("a body deeper than MaxDepth passes")
	}
	if err := CheckJSON([]byte(deep[1 : len(deep)-1])); err != nil {
		t.Errorf("a body of MaxDepth: %v", err)
	}
	if err := CheckJSON([]byte(`{"a":"` + deep + `\"` + deep + `"}`)); err != nil {
		t.Errorf("brackets in a string count as depth: %v", err)
	}
	wide := `{"Structs":[{}` + strings.Repeat(",{}", MaxValues) + `]}`
	if err := DecodeJSON([]byte(wide), &sample{}); err == nil {
		t.Error("a body of more than MaxValues passes")
	}
}

func TestEncodeJSON(t *testing.T) {
	got, err := EncodeJSON(struct {
		Time  Timestamp
		Whole Timestamp
		Count int32
		Bytes int64
		Text  string
	}{Timestamp(time.UnixMilli(1763757611045)), Timestamp(time.Unix(4e9, 0)), Int32(uint64(math.MaxUint64)), 1 << 40, "<&>"})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"Time":1763757611.045,"Whole":4000000000,"Count":2147483647,"Bytes":1099511627776,"Text":"<&>"}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func testShapes() Shapes {
	return Shapes{
		"Text":   Between(1, 5),
		"Name":   Between(1, 3).Matching("^[a-z]+$"),
		"Number": Between(1, 100),
		"List":   Between(1, 2),
		"Color":  OneOf("RED", "GREEN"),
	}
}

func TestValidate(t *testing.T) {
	const one = "1 validation error detected: "
	for _, c := range []struct {
		in   any
		want string // "" is valid
	}{
		{&sample{}, ""},
		{&sample{Text: ptr("héééé"), Number: ptr[int32](100), List: []string{"a", "b"}}, ""},
		{&sample{Text: ptr("")}, one + "Value '' at 'text' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{&sample{Text: ptr("123456")}, one + "Value '123456' at 'text' failed to satisfy constraint: Member must have length less than or equal to 5"},
		{&sample{Number: ptr[int32](0)}, one + "Value '0' at 'number' failed to satisfy constraint: Member must have value greater than or equal to 1"},
		{&sample{Number: ptr[int32](101)}, one + "Value '101' at 'number' failed to satisfy constraint: Member must have value less than or equal to 100"},
		{&sample{selectorPart: selectorPart{ptr("a\n")}}, one + "Value 'a\n' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-z]+$"},
		{&sample{List: []string{}}, one + "Value '[]' at 'list' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{&sample{List: []string{"a", "B"}}, one + "Value '[a, B]' at 'list' failed to satisfy constraint: Member must satisfy constraint: " +
			"[Member must have length less than or equal to 3, Member must have length greater than or equal to 1, Member must satisfy regular expression pattern: ^[a-z]+$]"},
		{&sample{Structs: []inner{{ptr("x")}, {}}}, one + "Value null at 'structs.2.member.text' failed to satisfy constraint: Member must not be null"},
		{&sample{Map: map[string]inner{"k": {ptr("")}}}, one + "Value '' at 'map.k.member.text' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{&sample{Map: map[string]inner{"K": {ptr("x")}}}, one + "Value 'K' at 'map' failed to satisfy constraint: Map keys must satisfy constraint: " +
			"[Member must have length less than or equal to 3, Member must have length greater than or equal to 1, Member must satisfy regular expression pattern: ^[a-z]+$]"},
		{&sample{Inner: &inner{}, Number: ptr[int32](-1)}, "2 validation errors detected: " +
			"Value '-1' at 'number' failed to satisfy constraint: Member must have value greater than or equal to 1; " +
			"Value null at 'inner.text' failed to satisfy constraint: Member must not be null"},
		{&struct {
			Color *string `shape:"Color"`
		}{ptr("BLUE")}, one + "Value 'BLUE' at 'color' failed to satisfy constraint: Member must satisfy enum value set: [RED, GREEN]"},
	} {
		err := testShapes().Validate(c.in)
		if got := message(err); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestValidationErrorsAreBounded(t *testing.T) {
	in := &sample{Structs: make([]inner, 1000), Text: ptr(strings.Repeat("é", 1<<20))}
	err := testShapes().Validate(in)
	e, ok := errors.AsType[*ValidationError](err)
	if !ok || len(e.Problems) != maxValidationErrors || len(e.Error()) > 4096 {
		t.Errorf("%d problems in %d bytes", len(e.Problems), len(e.Error()))
	}
}
