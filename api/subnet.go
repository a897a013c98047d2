package api

import (
	"context"
	"math"
	"net/netip"
	"strconv"

	"sluice"
)

// reservedAddresses is how many addresses of each IPv4 subnet AWS keeps for itself.
const reservedAddresses = 5

type describeSubnetsRequest struct {
	IDs []string `query:"SubnetId"`
	pagedRead
}

type describeSubnetsResponse struct {
	Subnets   []subnet `xml:"subnetSet"`
	NextToken *string  `xml:"nextToken"`
}

type subnet struct {
	ID                  string            `xml:"subnetId"`
	Arn                 string            `xml:"subnetArn"`
	State               string            `xml:"state"`
	VpcID               string            `xml:"vpcId"`
	CIDR                string            `xml:"cidrBlock"`
	Available           int64             `xml:"availableIpAddressCount"`
	AvailabilityZone    string            `xml:"availabilityZone"`
	AvailabilityZoneID  string            `xml:"availabilityZoneId"`
	DefaultForAz        bool              `xml:"defaultForAz"`
	MapPublicIPOnLaunch bool              `xml:"mapPublicIpOnLaunch"`
	OwnerID             string            `xml:"ownerId"`
	IPv6Associations    []ipv6Association `xml:"ipv6CidrBlockAssociationSet"`
	Tags                []resourceTag     `xml:"tagSet"`
}

type ipv6Association struct {
	ID    string    `xml:"associationId"`
	CIDR  string    `xml:"ipv6CidrBlock"`
	State cidrState `xml:"ipv6CidrBlockState"`
}

type cidrState struct {
	State string `xml:"state"`
}

func describeSubnets(ctx context.Context, c *call, in *describeSubnetsRequest) (*describeSubnetsResponse, error) {
	inv, err := c.inventory(ctx)
	if err != nil {
		return nil, err
	}
	scope := c.backend.Scope()
	all := make([]subnet, len(inv.Subnets))
	for i, s := range inv.Subnets {
		all[i] = showSubnet(s, inv, scope)
	}
	page, next, err := subnetListing().list(c, in.IDs, in.pagedRead, all)
	if err != nil {
		return nil, err
	}
	return &describeSubnetsResponse{page, next}, nil
}

func subnetListing() listing[subnet] {
	type s = subnet
	cidr := one(func(v s) string { return v.CIDR })
	zone := one(func(v s) string { return v.AvailabilityZone })
	zoneID := one(func(v s) string { return v.AvailabilityZoneID })
	state := one(func(v s) string { return v.State })
	defaulted := one(func(v s) string { return strconv.FormatBool(v.DefaultForAz) })
	return listing[s]{
		parameter: "subnetSet",
		id:        func(v s) string { return v.ID },
		tags:      func(v s) []sluice.Tag { return tagsShown(v.Tags) },
		maxPage:   1000,
		malformed: malformedID("subnet", "InvalidSubnetID.Malformed"),
		missing:   missingID("subnet", "InvalidSubnetID.NotFound"),
		filters: attributes[s]{
			"subnet-id":                  one(func(v s) string { return v.ID }),
			"subnet-arn":                 one(func(v s) string { return v.Arn }),
			"vpc-id":                     one(func(v s) string { return v.VpcID }),
			"owner-id":                   one(func(v s) string { return v.OwnerID }),
			"state":                      state,
			"cidr":                       cidr,
			"cidrBlock":                  cidr,
			"cidr-block":                 cidr,
			"availability-zone":          zone,
			"availabilityZone":           zone,
			"availability-zone-id":       zoneID,
			"availabilityZoneId":         zoneID,
			"default-for-az":             defaulted,
			"defaultForAz":               defaulted,
			"map-public-ip-on-launch":    one(func(v s) string { return strconv.FormatBool(v.MapPublicIPOnLaunch) }),
			"available-ip-address-count": one(func(v s) string { return strconv.FormatInt(v.Available, 10) }),
			"ipv6-cidr-block-association.ipv6-cidr-block": func(v s) []string {
				return associatedCIDRs(v.IPv6Associations)
			},
		},
	}
}

func associatedCIDRs(in []ipv6Association) []string {
	out := make([]string, len(in))
	for i, a := range in {
		out[i] = a.CIDR
	}
	return out
}

func showSubnet(s sluice.Subnet, inv taggedInventory, scope sluice.Scope) subnet {
	out := subnet{
		ID:                 s.ID,
		Arn:                sluice.ARN{Partition: "aws", Service: serviceEC2, Region: scope.Region, AccountID: scope.AccountID, Type: "subnet", Name: s.ID}.String(),
		State:              "available",
		VpcID:              s.VpcID,
		AvailabilityZone:   s.AvailabilityZone,
		AvailabilityZoneID: zoneID(scope.Region, s.AvailabilityZone),
		OwnerID:            scope.AccountID,
		Tags:               showResourceTags(inventoryTags(s.Name, inv.tags[s.ID])),
	}
	for _, p := range s.CIDRs {
		if !p.Addr().Is4() {
			out.IPv6Associations = append(out.IPv6Associations, showAssociation("subnet-cidr-assoc", s.ID, p))
			continue
		}
		if out.CIDR == "" {
			out.CIDR = p.String()
			out.Available = available(p, s.ID, inv.Inventory)
		}
	}
	return out
}

func showAssociation(kind, id string, p netip.Prefix) ipv6Association {
	return ipv6Association{sluice.DeriveID(kind, id, p.String()), p.String(), cidrState{"associated"}}
}

// available counts the addresses of a subnet that no interface has, without those
// that AWS keeps.
func available(p netip.Prefix, subnetID string, inv sluice.Inventory) int64 {
	n := int64(1)<<(32-p.Bits()) - reservedAddresses
	for _, i := range inv.Interfaces {
		if i.SubnetID != subnetID {
			continue
		}
		for _, a := range globalAddresses(i.Addresses) {
			if p.Contains(a) {
				n--
			}
		}
	}
	return min(max(n, 0), math.MaxInt32)
}
