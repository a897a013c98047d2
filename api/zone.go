package api

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

type describeAvailabilityZonesRequest struct {
	ZoneNames []string `query:"ZoneName"`
	ZoneIDs   []string `query:"ZoneId"`
	read
	AllAvailabilityZones *bool `query:"AllAvailabilityZones"`
}

type describeAvailabilityZonesResponse struct {
	Zones []zone `xml:"availabilityZoneInfo"`
}

type zone struct {
	Name               string     `xml:"zoneName"`
	State              string     `xml:"zoneState"`
	ID                 string     `xml:"zoneId"`
	RegionName         string     `xml:"regionName"`
	GroupName          string     `xml:"groupName"`
	NetworkBorderGroup string     `xml:"networkBorderGroup"`
	ZoneType           string     `xml:"zoneType"`
	OptInStatus        string     `xml:"optInStatus"`
	Messages           []struct{} `xml:"messageSet"`
}

// notNeeded is the OptInStatus of what every account has.
const notNeeded = "opt-in-not-required"

func describeAvailabilityZones(ctx context.Context, c *call, in *describeAvailabilityZonesRequest) (*describeAvailabilityZonesResponse, error) {
	inv, err := c.backend.Inventory(ctx)
	if err != nil {
		return nil, err
	}
	region := c.backend.Scope().Region
	var all []zone
	for _, name := range inv.Zones {
		all = append(all, zone{
			Name: name, State: "available", ID: zoneID(region, name), RegionName: region, GroupName: region,
			NetworkBorderGroup: region, ZoneType: "availability-zone", OptInStatus: notNeeded,
		})
	}
	for _, id := range in.ZoneIDs {
		if !slices.ContainsFunc(all, func(z zone) bool { return z.ID == id }) {
			return nil, &fault{http.StatusBadRequest, "InvalidParameterValue", "Invalid availability zone-id: [" + clip(id) + "]"}
		}
	}
	found, _, err := zoneListing().list(c, in.ZoneNames, pagedRead{read: in.read}, all)
	if err != nil {
		return nil, err
	}
	if in.ZoneIDs != nil {
		found = slices.DeleteFunc(found, func(z zone) bool { return !slices.Contains(in.ZoneIDs, z.ID) })
	}
	return &describeAvailabilityZonesResponse{found}, nil
}

func zoneListing() listing[zone] {
	return listing[zone]{
		parameter: "zoneName",
		id:        func(z zone) string { return z.Name },
		malformed: func(string) error { return nil },
		missing: func(name string) error {
			return &fault{http.StatusBadRequest, "InvalidParameterValue", "Invalid availability zone: [" + clip(name) + "]"}
		},
		filters: attributes[zone]{
			"zone-name":            one(func(z zone) string { return z.Name }),
			"zone-id":              one(func(z zone) string { return z.ID }),
			"zone-type":            one(func(z zone) string { return z.ZoneType }),
			"state":                one(func(z zone) string { return z.State }),
			"region-name":          one(func(z zone) string { return z.RegionName }),
			"group-name":           one(func(z zone) string { return z.GroupName }),
			"network-border-group": one(func(z zone) string { return z.NetworkBorderGroup }),
			"opt-in-status":        one(func(z zone) string { return z.OptInStatus }),
			"message":              same[zone](),
			"parent-zone-id":       same[zone](),
			"parent-zone-name":     same[zone](),
		},
	}
}

// zoneID makes the id of a zone as AWS forms it: eu-west-1a is euw1-az1. A zone that
// is not a letter after the region is its own id.
func zoneID(region, name string) string {
	letter, ok := strings.CutPrefix(name, region)
	if !ok || len(letter) != 1 || letter[0] < 'a' || letter[0] > 'z' {
		return name
	}
	area, rest, _ := strings.Cut(region, "-")
	direction, number, _ := strings.Cut(rest, "-")
	short := area
	for _, word := range []string{"north", "south", "east", "west", "central"} {
		if at, found := strings.CutPrefix(direction, word); found {
			short += word[:1]
			direction = at
		}
	}
	return short + number + "-az" + strconv.Itoa(int(letter[0]-'a')+1)
}
