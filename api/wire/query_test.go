package wire

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type queryFilter struct {
	Name   *string  `query:"Name"`
	Values []string `query:"Value"`
}

type queryBase struct {
	Filters []queryFilter `query:"Filter"`
	DryRun  *bool         `query:"DryRun"`
}

type queryRequest struct {
	IDs []string `query:"VpcId"`
	queryBase
	Max *int32 `query:"MaxResults"`
}

func decodeQuery(t *testing.T, raw string) (queryRequest, error) {
	t.Helper()
	params, err := ParseQuery(raw)
	if err != nil {
		return queryRequest{}, err
	}
	var out queryRequest
	return out, DecodeQuery(params, &out)
}

func TestDecodeQuery(t *testing.T) {
	for _, c := range []struct {
		raw  string
		want queryRequest
	}{
		{"", queryRequest{}},
		{"Action=DescribeVpcs&Version=2016-11-15&X-Amz-Date=1&X-Amz-Signature=2", queryRequest{}},
		{"VpcId.2=b&VpcId.1=a&DryRun=True&MaxResults=5", queryRequest{IDs: []string{"a", "b"}, queryBase: queryBase{DryRun: ptr(true)}, Max: ptr[int32](5)}},
		{"VpcId.7=x&VpcId.1000000=y", queryRequest{IDs: []string{"x", "y"}}},
		{"Filter.1.Name=tag%3AName&Filter.1.Value.1=a+b%20c&Filter.1.Value.10=z&Filter.1.Value.9=%C3%A9&Filter.3.Name=n",
			queryRequest{queryBase: queryBase{Filters: []queryFilter{{ptr("tag:Name"), []string{"a b c", "é", "z"}}, {Name: ptr("n")}}}}},
		{"MaxResults=6&&", queryRequest{Max: ptr[int32](6)}},
		{"Filter.1.Value.1=only", queryRequest{queryBase: queryBase{Filters: []queryFilter{{nil, []string{"only"}}}}}},
	} {
		got, err := decodeQuery(t, c.raw)
		if err != nil {
			t.Errorf("%s: %v", c.raw, err)
			continue
		}
		if d := cmp.Diff(c.want, got, cmp.AllowUnexported(queryRequest{}, queryBase{})); d != "" {
			t.Errorf("%s: %s", c.raw, d)
		}
	}
}

func TestQueriesThatAreRefused(t *testing.T) {
	for raw, want := range map[string][2]string{
		"NetworkCardIndex=1":                    {"UnknownParameter", "The parameter NetworkCardIndex is not recognized"},
		"vpcId.1=a":                             {"UnknownParameter", "The parameter vpcId.1 is not recognized"},
		"VpcId=a":                               {"UnknownParameter", "The parameter VpcId is not recognized"},
		"VpcId.0=a":                             {"UnknownParameter", "The parameter VpcId.0 is not recognized"},
		"VpcId.01=a":                            {"UnknownParameter", "The parameter VpcId.01 is not recognized"},
		"VpcId.-1=a":                            {"UnknownParameter", "The parameter VpcId.-1 is not recognized"},
		"VpcId.member.1=a":                      {"UnknownParameter", "The parameter VpcId.member.1 is not recognized"},
		"VpcId.1.x=a":                           {"UnknownParameter", "The parameter VpcId.1.x is not recognized"},
		"VpcId.99999999999=a":                   {"UnknownParameter", "The parameter VpcId.99999999999 is not recognized"},
		"Filter.1=a":                            {"UnknownParameter", "The parameter Filter.1 is not recognized"},
		"Filter.1.Value=a":                      {"UnknownParameter", "The parameter Filter.1.Value is not recognized"},
		"MaxResults.1=a":                        {"UnknownParameter", "The parameter MaxResults.1 is not recognized"},
		"MaxResults=5&MaxResults=6":             {"InvalidQueryParameter", "The parameter MaxResults is given more than once"},
		"DryRun=true&VpcId.1=a&DryRun=true":     {"InvalidQueryParameter", "The parameter DryRun is given more than once"},
		"VpcId.1=a&VpcId.2=b&VpcId.1=c":         {"InvalidQueryParameter", "The parameter VpcId.1 is given more than once"},
		"Filter.1.Value.1=a&Filter.1.Value.1=b": {"InvalidQueryParameter", "The parameter Filter.1.Value.1 is given more than once"},
		"Action=DescribeVpcs&Action=CreateTags": {"InvalidQueryParameter", "The parameter Action is given more than once"},
		"MaxResults=five":                       {"InvalidParameterValue", "Value (five) for parameter MaxResults is invalid. Expecting an integer."},
		"MaxResults=":                           {"InvalidParameterValue", "Value () for parameter MaxResults is invalid. Expecting an integer."},
		"MaxResults=4294967301":                 {"InvalidParameterValue", "Value (4294967301) for parameter MaxResults is invalid. Expecting an integer."},
		"DryRun=yes":                            {"InvalidParameterValue", "Value (yes) for parameter DryRun is invalid. Expecting true or false."},
		"a=%zz":                                 {"MalformedQueryString", "The query string is malformed"},
		"%=1":                                   {"MalformedQueryString", "The query string is malformed"},
		strings.Repeat("a&", 5001):              {"MalformedQueryString", "The query string has too many parameters"},
	} {
		_, err := decodeQuery(t, raw)
		e, ok := errors.AsType[*QueryError](err)
		if !ok || e.Code != want[0] || e.Message != want[1] {
			t.Errorf("%.40s: %v", raw, err)
		}
	}
}

func TestNestedAndRequiredParameters(t *testing.T) {
	type portRange struct {
		From *int32 `query:"FromPort"`
		To   *int32 `query:"ToPort"`
	}
	type base struct {
		ID *string `query:"Id" required:"true"`
	}
	type request struct {
		base
		Ports *portRange `query:"Ports"`
		IDs   []string   `query:"Resource" required:"true"`
	}
	for raw, want := range map[string]string{
		"Id=a&Resource.1=b":                      "",
		"Id=a&Resource.1=b&Ports.ToPort=5":       "",
		"Resource.1=b":                           "The request must contain the parameter Id",
		"Id=&Resource.1=b":                       "The request must contain the parameter Id",
		"Id=a":                                   "The request must contain the parameter Resource",
		"Id=a&Ports=5":                           "The parameter Ports is not recognized",
		"Id=a&Ports.Foo=5":                       "The parameter Ports.Foo is not recognized",
		"Id=a&Ports.ToPort.1=5":                  "The parameter Ports.ToPort.1 is not recognized",
		"Id=a&Resource.1=b&Ports.FromPort=abc":   "Value (abc) for parameter Ports.FromPort is invalid. Expecting an integer.",
		"Ports.FromPort=abc":                     "The request must contain the parameter Id",
		"Id=a&Resource.1=b&Ports.FromPort=1&X=1": "The parameter X is not recognized",
	} {
		params, err := ParseQuery(raw)
		if err != nil {
			t.Fatal(err)
		}
		var got request
		err = DecodeQuery(params, &got)
		if want == "" != (err == nil) || err != nil && err.Error() != want {
			t.Errorf("%s: %v, want %q", raw, err, want)
		}
		if strings.Contains(raw, "ToPort=5") && err == nil && (got.Ports == nil || *got.Ports.To != 5 || got.Ports.From != nil) {
			t.Errorf("%s: %+v", raw, got.Ports)
		}
	}
}

func TestAppendXML(t *testing.T) {
	type part struct {
		ID string `xml:"id"`
		N  int    `xml:"n"`
	}
	type answer struct {
		Text   string   `xml:"text"`
		Unset  string   `xml:"unset"`
		Empty  string   `xml:"empty,empty"`
		Flag   bool     `xml:"flag"`
		Next   *string  `xml:"nextToken"`
		Given  *string  `xml:"given"`
		Parts  []part   `xml:"partSet"`
		None   []part   `xml:"noneSet"`
		Absent []part   `xml:"absentSet,omitempty"`
		Words  []string `xml:"wordSet"`
		Inner  part     `xml:"inner"`
		//lint:ignore U1000 what is not exported must not be filled in
		hidden string
	}
	var b bytes.Buffer
	err := AppendXML(&b, &answer{Text: "<a&\x00b>", Given: ptr("g"), Parts: []part{{"x", 1}, {"y", 0}}, Words: []string{"w"}})
	if err != nil {
		t.Fatal(err)
	}
	want := "<text>&lt;a&amp;\uFFFDb&gt;</text><empty></empty><flag>false</flag><given>g</given>" +
		"<partSet><item><id>x</id><n>1</n></item><item><id>y</id><n>0</n></item></partSet><noneSet/>" +
		"<wordSet><item>w</item></wordSet><inner><n>0</n></inner>"
	if b.String() != want {
		t.Errorf("got  %s\nwant %s", b.String(), want)
	}
	if err := AppendXML(&b, struct {
		F float64 `xml:"f"`
	}{1}); err == nil {
		t.Error("a kind that can't be written passes silently")
	}
}

func TestTokensAreBoundAndSigned(t *testing.T) {
	tokens := Tokens{[]byte("key")}
	token := tokens.Seal("op a", []byte(`"position"`))
	if got, err := tokens.Open("op a", token); err != nil || string(got) != `"position"` {
		t.Fatalf("%s %v", got, err)
	}
	if strings.Trim(token, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz:/+=") != "" {
		t.Errorf("%s has characters outside of the model's pattern", token)
	}
	for i := range token {
		for _, c := range []byte{'A', 'B', '=', '\n'} {
			if changed := token[:i] + string(c) + token[i+1:]; changed != token {
				if _, err := tokens.Open("op a", changed); !errors.Is(err, ErrToken) {
					t.Fatalf("token with %q at %d: %v", c, i, err)
				}
			}
		}
	}
	for _, foreign := range []string{"", "AAAA", token + "=", token[:8], Tokens{[]byte("other")}.Seal("op a", []byte(`"position"`))} {
		if _, err := tokens.Open("op a", foreign); !errors.Is(err, ErrToken) {
			t.Errorf("%q: %v", foreign, err)
		}
	}
	if _, err := tokens.Open("op b", token); !errors.Is(err, ErrToken) {
		t.Errorf("the token of another binding: %v", err)
	}
}
