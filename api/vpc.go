package api

import (
	"context"
	"strconv"

	"sluice"
)

type describeVpcsRequest struct {
	IDs []string `query:"VpcId"`
	pagedRead
}

type describeVpcsResponse struct {
	Vpcs      []vpc   `xml:"vpcSet"`
	NextToken *string `xml:"nextToken"`
}

type vpc struct {
	ID               string            `xml:"vpcId"`
	State            string            `xml:"state"`
	CIDR             string            `xml:"cidrBlock"`
	InstanceTenancy  string            `xml:"instanceTenancy"`
	IsDefault        bool              `xml:"isDefault"`
	OwnerID          string            `xml:"ownerId"`
	Associations     []cidrAssociation `xml:"cidrBlockAssociationSet"`
	IPv6Associations []ipv6Association `xml:"ipv6CidrBlockAssociationSet"`
	Tags             []resourceTag     `xml:"tagSet"`
}

type cidrAssociation struct {
	ID    string    `xml:"associationId"`
	CIDR  string    `xml:"cidrBlock"`
	State cidrState `xml:"cidrBlockState"`
}

func describeVpcs(ctx context.Context, c *call, in *describeVpcsRequest) (*describeVpcsResponse, error) {
	inv, err := c.inventory(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]vpc, len(inv.Vpcs))
	for i, v := range inv.Vpcs {
		all[i] = showVpc(v, c.backend.Scope().AccountID, inv.tags[v.ID])
	}
	page, next, err := vpcListing().list(c, in.IDs, in.pagedRead, all)
	if err != nil {
		return nil, err
	}
	return &describeVpcsResponse{page, next}, nil
}

func vpcListing() listing[vpc] {
	cidr := one(func(v vpc) string { return v.CIDR })
	isDefault := one(func(v vpc) string { return strconv.FormatBool(v.IsDefault) })
	return listing[vpc]{
		parameter: "vpcSet",
		id:        func(v vpc) string { return v.ID },
		tags:      func(v vpc) []sluice.Tag { return tagsShown(v.Tags) },
		maxPage:   1000,
		malformed: malformedID("vpc", "InvalidVpcID.Malformed"),
		missing:   missingID("vpc", "InvalidVpcID.NotFound"),
		filters: attributes[vpc]{
			"vpc-id":     one(func(v vpc) string { return v.ID }),
			"state":      one(func(v vpc) string { return v.State }),
			"owner-id":   one(func(v vpc) string { return v.OwnerID }),
			"cidr":       cidr,
			"cidr-block": cidr,
			"is-default": isDefault,
			"isDefault":  isDefault,
			"cidr-block-association.cidr-block": func(v vpc) []string {
				out := make([]string, len(v.Associations))
				for i, a := range v.Associations {
					out[i] = a.CIDR
				}
				return out
			},
			"ipv6-cidr-block-association.ipv6-cidr-block": func(v vpc) []string {
				return associatedCIDRs(v.IPv6Associations)
			},
		},
	}
}

func showVpc(v sluice.Vpc, account string, tags []sluice.Tag) vpc {
	out := vpc{ID: v.ID, State: "available", InstanceTenancy: "default", OwnerID: account, Tags: showResourceTags(tags)}
	for _, p := range v.CIDRs {
		if !p.Addr().Is4() {
			out.IPv6Associations = append(out.IPv6Associations, showAssociation("vpc-cidr-assoc", v.ID, p))
			continue
		}
		if out.CIDR == "" {
			out.CIDR = p.String()
		}
		out.Associations = append(out.Associations,
			cidrAssociation{sluice.DeriveID("vpc-cidr-assoc", v.ID, p.String()), p.String(), cidrState{"associated"}})
	}
	return out
}
