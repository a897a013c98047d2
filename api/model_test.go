package api

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/api/wire"
)

// TestConstraintsAreThoseOfTheServiceModel compares the tags of our requests with
// the model that botocore ships. Members that the model has and we don't are
// members that we pass over.
func TestConstraintsAreThoseOfTheServiceModel(t *testing.T) {
	installed(t, "python3", "-c", "import botocore")
	ours := map[string]string{}
	args := []string{"testdata/service_model.py"}
	for _, op := range operations() {
		if op.service == serviceFirewall {
			args = append(args, op.name)
			flatten(op.name, reflect.TypeOf(op.request()).Elem(), ours)
		}
	}
	out, err := exec.Command("python3", args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	var model map[string]string
	if err := json.Unmarshal(out, &model); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for name := range ours {
		want[name] = model[name]
		switch {
		case strings.HasSuffix(name, ".NextToken"): // the model leaves the first anchor out
			want[name] = strings.Replace(want[name], "pattern=", "pattern=^", 1)
		case name == "CreateFirewall.Tags", name == "CreateFirewallPolicy.Tags": // an empty list is no tags
			want[name] = strings.Replace(want[name], " min=1", "", 1)
		}
	}
	if diff := cmp.Diff(want, ours); diff != "" {
		t.Errorf("-model +ours\n%s", diff)
	}
}

// flatten writes the members of a request as service_model.py does.
func flatten(path string, request reflect.Type, into map[string]string) {
	for i := range request.NumField() {
		f := request.Field(i)
		if f.Anonymous {
			flatten(path, f.Type, into)
			continue
		}
		elem := f.Type.Elem()
		text := map[reflect.Kind]string{reflect.Slice: "list", reflect.Map: "map", reflect.Pointer: map[reflect.Kind]string{
			reflect.String: "string", reflect.Bool: "boolean", reflect.Int32: "integer", reflect.Struct: "structure"}[elem.Kind()]}[f.Type.Kind()]
		if f.Tag.Get("required") == "true" {
			text = "required " + text
		}
		text += constraintsOf(f.Tag.Get("shape"))
		if f.Type.Kind() != reflect.Pointer {
			text += " of" + constraintsOf(f.Tag.Get("of"))
		}
		name := path + "." + f.Name
		into[name] = text
		if elem.Kind() == reflect.Struct {
			flatten(name, elem, into)
		}
	}
}

func constraintsOf(shape string) string {
	s := firewallShapes()[shape]
	var b strings.Builder
	if s.Min != nil {
		fmt.Fprintf(&b, " min=%d", *s.Min)
	}
	if s.Max != nil {
		fmt.Fprintf(&b, " max=%d", *s.Max)
	}
	if s.Pattern != nil {
		fmt.Fprintf(&b, " pattern=%s", s.Pattern)
	}
	if s.Enum != nil {
		b.WriteString(" enum=" + strings.Join(s.Enum, ","))
	}
	return b.String()
}

// TestEveryShapeIsInTheTable finds a tag that names no shape, which would fail only
// when a request of that kind came.
func TestEveryShapeIsInTheTable(t *testing.T) {
	used := map[string]bool{}
	var walk func(reflect.Type)
	walk = func(request reflect.Type) {
		for i := range request.NumField() {
			f := request.Field(i)
			used[f.Tag.Get("shape")], used[f.Tag.Get("of")] = true, true
			elem := f.Type
			if !f.Anonymous {
				elem = f.Type.Elem()
			}
			if elem.Kind() == reflect.Struct {
				walk(elem)
			}
		}
	}
	for _, op := range operations() {
		if op.service == serviceFirewall {
			walk(reflect.TypeOf(op.request()).Elem())
		}
	}
	delete(used, "")
	var shapes wire.Shapes = firewallShapes()
	for name := range used {
		if _, ok := shapes[name]; !ok {
			t.Errorf("shape %s is not in the table", name)
		}
		delete(shapes, name)
	}
	for name := range shapes {
		t.Errorf("shape %s is used nowhere", name)
	}
}

// TestParametersAreThoseOfTheEC2Model compares the parameters of the mirroring
// operations with the model that botocore ships: a client must not meet
// UnknownParameter, and nothing is taken that AWS does not.
func TestParametersAreThoseOfTheEC2Model(t *testing.T) {
	installed(t, "python3", "-c", "import botocore")
	ours := map[string][]string{}
	args := []string{"testdata/ec2_parameters.py"}
	for _, op := range operations() {
		if op.service == serviceEC2 && (strings.Contains(op.name, "TrafficMirror") || strings.HasSuffix(op.name, "Tags") || strings.Contains(op.name, "SecurityGroup")) {
			args = append(args, op.name)
			ours[op.name] = queryNames(reflect.TypeOf(op.request()).Elem(), "")
			slices.Sort(ours[op.name])
		}
	}
	out, err := exec.Command("python3", args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	var model map[string][]string
	if err := json.Unmarshal(out, &model); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(model, ours); diff != "" || len(ours) != 23 {
		t.Errorf("%d operations; -model +ours\n%s", len(ours), diff)
	}
}

func queryNames(t reflect.Type, prefix string) []string {
	switch {
	case t.Kind() == reflect.Slice:
		return queryNames(t.Elem(), prefix+".N")
	case t.Kind() == reflect.Pointer:
		return queryNames(t.Elem(), prefix)
	case t.Kind() != reflect.Struct:
		return []string{prefix[1:]}
	}
	var out []string
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			out = append(out, queryNames(f.Type, prefix)...)
			continue
		}
		out = append(out, queryNames(f.Type, prefix+"."+f.Tag.Get("query"))...)
	}
	return out
}
