package api

import (
	"context"
	"net/http"
)

type describeRegionsRequest struct {
	RegionNames []string `query:"RegionName"`
	read
	AllRegions *bool `query:"AllRegions"`
}

type describeRegionsResponse struct {
	Regions []region `xml:"regionInfo"`
}

type region struct {
	Name        string `xml:"regionName"`
	Endpoint    string `xml:"regionEndpoint"`
	OptInStatus string `xml:"optInStatus"`
}

// describeRegions knows one region, whose endpoint is where the caller already is.
func describeRegions(_ context.Context, c *call, in *describeRegionsRequest) (*describeRegionsResponse, error) {
	all := []region{{c.backend.Scope().Region, c.host, notNeeded}}
	found, _, err := regionListing().list(c, in.RegionNames, pagedRead{read: in.read}, all)
	if err != nil {
		return nil, err
	}
	return &describeRegionsResponse{found}, nil
}

func regionListing() listing[region] {
	return listing[region]{
		parameter: "regionName",
		id:        func(r region) string { return r.Name },
		malformed: func(string) error { return nil },
		missing: func(name string) error {
			return &fault{http.StatusBadRequest, "InvalidParameterValue", "Invalid region name: [" + clip(name) + "]"}
		},
		filters: attributes[region]{
			"region-name":   one(func(r region) string { return r.Name }),
			"endpoint":      one(func(r region) string { return r.Endpoint }),
			"opt-in-status": one(func(r region) string { return r.OptInStatus }),
		},
	}
}
