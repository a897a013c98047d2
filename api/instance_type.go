package api

import (
	"context"
	"net/http"
	"strconv"
)

type describeInstanceTypesRequest struct {
	InstanceTypes []string `query:"InstanceType"`
	pagedRead
	IncludeUnsupportedInRegion *bool `query:"IncludeUnsupportedInRegion"`
}

type describeInstanceTypesResponse struct {
	InstanceTypes []instanceTypeInfo `xml:"instanceTypeSet"`
	NextToken     *string            `xml:"nextToken"`
}

// instanceTypeInfo is the InstanceTypeInfo structure. Processors and memory are left
// out: hosts differ, and the type is one.
type instanceTypeInfo struct {
	InstanceType      string      `xml:"instanceType"`
	CurrentGeneration bool        `xml:"currentGeneration"`
	FreeTierEligible  bool        `xml:"freeTierEligible"`
	BareMetal         bool        `xml:"bareMetal"`
	Hypervisor        string      `xml:"hypervisor"`
	NetworkInfo       networkInfo `xml:"networkInfo"`
}

type networkInfo struct {
	MaximumNetworkInterfaces int    `xml:"maximumNetworkInterfaces"`
	IPv6Supported            bool   `xml:"ipv6Supported"`
	EnaSupport               string `xml:"enaSupport"`
}

func describeInstanceTypes(ctx context.Context, c *call, in *describeInstanceTypesRequest) (*describeInstanceTypesResponse, error) {
	inv, err := c.backend.Inventory(ctx)
	if err != nil {
		return nil, err
	}
	host := instanceTypeInfo{
		InstanceType:      instanceType,
		CurrentGeneration: true,
		Hypervisor:        "nitro", // what clients look for in a machine that can be mirrored
		NetworkInfo:       networkInfo{IPv6Supported: true, EnaSupport: "supported"},
	}
	for _, i := range inv.Instances {
		host.NetworkInfo.MaximumNetworkInterfaces = max(host.NetworkInfo.MaximumNetworkInterfaces, len(i.InterfaceIDs))
	}
	page, next, err := instanceTypeListing().list(c, in.InstanceTypes, in.pagedRead, []instanceTypeInfo{host})
	if err != nil {
		return nil, err
	}
	return &describeInstanceTypesResponse{page, next}, nil
}

func instanceTypeListing() listing[instanceTypeInfo] {
	type t = instanceTypeInfo
	return listing[t]{
		parameter: "instanceType",
		id:        func(v t) string { return v.InstanceType },
		maxPage:   100,
		malformed: func(string) error { return nil },
		missing: func(id string) error {
			return &fault{http.StatusBadRequest, "InvalidInstanceType",
				"The following supplied instance types do not exist: [" + clip(id) + "]"}
		},
		filters: attributes[t]{
			"instance-type":            one(func(v t) string { return v.InstanceType }),
			"hypervisor":               one(func(v t) string { return v.Hypervisor }),
			"current-generation":       one(func(v t) string { return strconv.FormatBool(v.CurrentGeneration) }),
			"free-tier-eligible":       one(func(v t) string { return strconv.FormatBool(v.FreeTierEligible) }),
			"bare-metal":               one(func(v t) string { return strconv.FormatBool(v.BareMetal) }),
			"network-info.ena-support": one(func(v t) string { return v.NetworkInfo.EnaSupport }),
			"network-info.ipv6-supported": one(func(v t) string {
				return strconv.FormatBool(v.NetworkInfo.IPv6Supported)
			}),
			"network-info.maximum-network-interfaces": one(func(v t) string {
				return strconv.Itoa(v.NetworkInfo.MaximumNetworkInterfaces)
			}),
		},
	}
}
