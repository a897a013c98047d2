package cloudshell

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// strictClient reads answers by the rules that CloudShell's client depends on, and
// complains where that one would silently lose something.

// schema is a class of the client: its scalars, and of its lists and objects the class
// of the items; "string" is a list of texts.
type schema struct {
	scalars []string
	objects map[string]string
	lists   map[string]string
}

func clientClasses() map[string]schema {
	short := []string{"Id", "Name", "Description", "StartTime", "EndTime", "RecurrenceType", "Owner", "Booked", "Status", "ProvisioningStatus",
		"ActualEndTime", "CreateDate", "ModificationDate", "DomainName", "ReservationLiveStatusName", "ReservationLiveStatusDescription"}
	shortLists := map[string]string{"Topologies": "string", "TopologiesInfo": "TopologyInfo", "PermittedUsers": "string"}
	return map[string]schema{
		"LogonResponseInfo":                     {objects: map[string]string{"Domain": "Domain", "User": "User", "Token": "Token"}},
		"Domain":                                {scalars: []string{"Name", "Description", "DomainId"}},
		"User":                                  {scalars: []string{"Name", "Email", "IsAdmin", "IsActive", "IsDomainAdmin", "DomainName"}},
		"Token":                                 {scalars: []string{"Token"}},
		"CreateReservationResponseInfo":         {objects: map[string]string{"Reservation": "ReservationShortInfo"}},
		"ReservationShortInfo":                  {scalars: short, lists: shortLists},
		"TopologyInfo":                          {scalars: []string{"Name", "Alias", "Type", "State"}},
		"GetReservationDescriptionResponseInfo": {objects: map[string]string{"ReservationDescription": "ReservationDescription"}},
		"ReservationDescription": {scalars: append(slices.Clone(short), "SetupStage"),
			objects: map[string]string{"ReservationLiveStatus": "ReservationLiveStatus"},
			lists: map[string]string{"Topologies": "string", "TopologiesInfo": "TopologyInfo", "PermittedUsers": "string",
				"Resources": "ReservedResource", "TopologiesReservedResources": "Any", "Conflicts": "Any", "TopologiesRouteInfo": "Any",
				"TopologiesResourcesAttributeInfo": "Any", "TopologiesInstructionsInfo": "Any", "ActiveRoutesInfo": "Any",
				"RequestedRoutesInfo": "Any", "Connectors": "Any", "Apps": "Any", "Services": "ServiceInstance"}},
		"ReservationLiveStatus": {scalars: []string{"ReservationId", "ReservationLiveStatusName"}},
		"ServiceInstance":       {scalars: []string{"ServiceName", "Alias", "Address"}, lists: map[string]string{"Attributes": "AttributeValueInfo"}},
		"AttributeValueInfo":    {scalars: []string{"Name", "Value"}},
		"ReservedResource": {scalars: []string{"Name", "FolderFullPath", "FullAddress", "Shared", "Availability", "Locked", "Released",
			"ResourceFamilyName", "ResourceModelName", "CreatedByUser", "CreatedInDomain", "CreatedInReservation", "AppTemplateName"},
			objects: map[string]string{"VmDetails": "VmDetails", "AppDetails": "AppDetails"}},
		"AppDetails": {scalars: []string{"AppName"}},
		"VmDetails": {scalars: []string{"UID", "CloudProviderFullName"},
			lists: map[string]string{"VmCustomParams": "NameValue", "InstanceData": "NameValue", "NetworkData": "VmDetailsNetworkInterface"}},
		"VmDetailsNetworkInterface":           {scalars: []string{"NetworkId", "IsPrimary"}, lists: map[string]string{"AdditionalData": "NameValue"}},
		"NameValue":                           {scalars: []string{"Name", "Value"}},
		"ReservationSlimStatusInfo":           {objects: map[string]string{"ReservationSlimStatus": "ReservationSlimStatus"}},
		"ReservationSlimStatus":               {scalars: []string{"ReservationId", "StartTime", "EndTime", "Status", "ProvisioningStatus", "Booked", "SetupStage"}},
		"GetReservationRemainingTimeInfo":     {scalars: []string{"RemainingTimeInMinutes"}},
		"GetActiveReservationsResponseInfo":   {lists: map[string]string{"Reservations": "ReservationShortInfo"}},
		"CommandExecutionCompletedResultInfo": {scalars: []string{"Output"}},
		"CommandExecutionIdResponseInfo":      {scalars: []string{"Id"}},
		"CheckoutFromPoolInfo":                {lists: map[string]string{"Items": "string"}},
		"SetSecurityGroupsInfo":               {lists: map[string]string{"ResultItems": "SetSecurityGroupInfo"}},
		"SetSecurityGroupInfo":                {scalars: []string{"AppName", "Success", "Error"}},
		"GetSandboxDataInfo":                  {lists: map[string]string{"SandboxDataKeyValues": "SandboxDataKeyValue"}},
		"SandboxDataKeyValue":                 {scalars: []string{"Key", "Value"}},
		"ResourceCommandListInfo":             {lists: map[string]string{"Commands": "ResourceCommandInfo"}},
		"ResourceCommandInfo":                 {scalars: []string{"Name", "Tag", "Description", "DisplayName"}, lists: map[string]string{"Parameters": "CommandParameter"}},
		"CommandParameter":                    {scalars: []string{"Name", "Description", "Type", "Mandatory", "DefaultValue", "EnumValues"}},
		"ResourceInfo": {scalars: []string{"Name", "Address", "FolderFullPath", "FullAddress", "ResourceFamilyName", "ResourceModelName", "CreatedInReservation", "CreatedInReservationId"},
			objects: map[string]string{"VmDetails": "VmDetails"}, lists: map[string]string{"ChildResources": "Any", "ResourceAttributes": "Any", "Domains": "Any", "Connections": "Any"}},
		"ReserveResourcesResponseInfo": {lists: map[string]string{"Conflicts": "Any"}},
		"ServerTimeInfo":               {scalars: []string{"ServerDateTime"}},
	}
}

// xmlNode is an element with its attributes, unlike the server's.
type xmlNode struct {
	name     string
	attrs    []xml.Attr
	text     string
	children []*xmlNode
}

func (n *xmlNode) attr(name string) (string, bool) {
	for _, a := range n.attrs {
		if a.Name.Local == name && a.Name.Space == "" {
			return a.Value, true
		}
	}
	return "", false
}

func (n *xmlNode) child(name string) *xmlNode {
	for _, c := range n.children {
		if c.name == name {
			return c
		}
	}
	return nil
}

const xsiSpace = "http://www.w3.org/2001/XMLSchema-instance"

func readNode(text string) (*xmlNode, error) {
	d := xml.NewDecoder(strings.NewReader(text))
	top := &xmlNode{}
	path := []*xmlNode{top}
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			if len(top.children) != 1 {
				return nil, fmt.Errorf("%d roots", len(top.children))
			}
			return top.children[0], nil
		}
		if err != nil {
			return nil, err
		}
		switch t := token.(type) {
		case xml.StartElement:
			n := &xmlNode{name: t.Name.Local, attrs: slices.Clone(t.Attr)}
			if t.Name.Space != "" {
				return nil, fmt.Errorf("%s is in the namespace %q: the literal declaration was not found", n.name, t.Name.Space)
			}
			path[len(path)-1].children = append(path[len(path)-1].children, n)
			path = append(path, n)
		case xml.EndElement:
			path = path[:len(path)-1]
		case xml.CharData:
			path[len(path)-1].text += string(t)
		}
	}
}

// apiError is CloudShellAPIError.
type apiError struct{ code, message string }

func (e *apiError) Error() string { return "CloudShell API error " + e.code + ": " + e.message }

// strictParse reads an answer: nil where there is no ResponseInfo and the client returns
// raw bytes.
func strictParse(operation, text string) (map[string]any, error) {
	const declaration = `xmlns="http://schemas.qualisystems.com/ResourceManagement/ApiCommandResult.xsd"`
	if !strings.HasPrefix(text, `<?xml version="1.0" encoding="utf-8"?><Response `) {
		return nil, fmt.Errorf("starts with %.60q", text)
	}
	if strings.Contains(text, "&#x0;") {
		return nil, errors.New("has a NUL")
	}
	root, err := readNode(strings.ReplaceAll(text, declaration, ""))
	if err != nil {
		return nil, err
	}
	if name, _ := root.attr("CommandName"); root.name != "Response" || name != operation {
		return nil, fmt.Errorf("root %s of command %q", root.name, name)
	}
	success, ok := root.attr("Success")
	if !ok {
		return nil, errors.New("no Success")
	}
	code := root.child("ErrorCode")
	if code == nil || code.text == "" {
		return nil, errors.New("no ErrorCode")
	}
	if !slices.Contains([]string{"true", "yes", "on"}, strings.ToLower(success)) {
		e := root.child("Error")
		if e == nil || e.text == "" {
			return nil, errors.New("a failure without Error")
		}
		return nil, &apiError{code.text, e.text}
	}
	if code.text != "0" || strings.Contains(text, "<Error>") || strings.Contains(text, "<Error/>") {
		return nil, errors.New("a success with an error")
	}
	i := root.child("ResponseInfo")
	if i == nil {
		return nil, nil
	}
	if len(i.attrs) == 0 || i.attrs[0].Name != (xml.Name{Space: xsiSpace, Local: "type"}) {
		return nil, errors.New("xsi:type is not the first attribute of ResponseInfo")
	}
	class := i.attrs[0].Value
	i.attrs = i.attrs[1:]
	return strictObject(i, class)
}

func strictObject(n *xmlNode, class string) (map[string]any, error) {
	s, ok := clientClasses()[class]
	if !ok {
		return nil, fmt.Errorf("%s: the client has no class %q", n.name, class)
	}
	out := map[string]any{}
	for _, a := range n.attrs {
		if a.Name.Space != "" {
			return nil, fmt.Errorf("%s has the attribute %s:%s", n.name, a.Name.Space, a.Name.Local)
		}
		if !slices.Contains(s.scalars, a.Name.Local) {
			return nil, fmt.Errorf("%s: class %s has no %s", n.name, class, a.Name.Local)
		}
		out[a.Name.Local] = a.Value
	}
	if len(s.scalars) > 0 && len(n.children) > 0 && strings.TrimSpace(n.text) != "" {
		return nil, fmt.Errorf("%s: text %q between elements", n.name, n.text)
	}
	for _, c := range n.children {
		if err := strictField(out, c, s); err != nil {
			return nil, fmt.Errorf("%s: class %s: %w", n.name, class, err)
		}
	}
	for _, name := range s.scalars {
		if _, ok := out[name]; ok {
			return out, nil
		}
	}
	if len(s.scalars) > 0 {
		return nil, fmt.Errorf("%s: an empty object: its fields are classes", n.name)
	}
	return out, nil
}

func strictField(out map[string]any, c *xmlNode, s schema) error {
	if _, again := out[c.name]; again {
		return fmt.Errorf("%s twice", c.name)
	}
	if slices.Contains(s.scalars, c.name) {
		if c.text == "" || len(c.children) > 0 || len(c.attrs) > 0 {
			return fmt.Errorf("scalar %s in an element without text, or with more", c.name)
		}
		out[c.name] = c.text
		return nil
	}
	if class, ok := s.objects[c.name]; ok {
		o, err := strictObject(c, class)
		out[c.name] = o
		return err
	}
	class, ok := s.lists[c.name]
	if !ok {
		return fmt.Errorf("no field %s", c.name)
	}
	list := []any{}
	if len(c.children) > 0 && c.text != "" || len(c.attrs) > 0 {
		return fmt.Errorf("list %s has text or attributes", c.name)
	}
	if class == "string" && len(c.children) == 0 && c.text != "" {
		list = append(list, c.text)
	} else if len(c.children) == 0 && c.text != "" {
		return fmt.Errorf("list %s is %q", c.name, c.text)
	}
	for _, item := range c.children {
		if class == "string" {
			list = append(list, item.text)
			continue
		}
		if len(item.attrs) == 0 {
			return fmt.Errorf("an item of %s without attributes is dropped", c.name)
		}
		o, err := strictObject(item, class)
		if err != nil {
			return err
		}
		list = append(list, o)
	}
	out[c.name] = list
	return nil
}
