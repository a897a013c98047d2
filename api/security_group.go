package api

import (
	"context"
	"slices"

	"sluice"
	"sluice/control"
)

type createSecurityGroupRequest struct {
	Name              *string            `query:"GroupName" required:"true"`
	Description       *string            `query:"GroupDescription" required:"true"`
	VpcID             *string            `query:"VpcId"`
	TagSpecifications []tagSpecification `query:"TagSpecification"`
	DryRun            *bool              `query:"DryRun"`
}

type createSecurityGroupResponse struct {
	Return bool          `xml:"return"`
	ID     string        `xml:"groupId"`
	Tags   []resourceTag `xml:"tagSet"`
	Arn    string        `xml:"securityGroupArn"`
}

type describeSecurityGroupsRequest struct {
	IDs   []string `query:"GroupId"`
	Names []string `query:"GroupName"`
	pagedRead
}

type describeSecurityGroupsResponse struct {
	Groups    []securityGroup `xml:"securityGroupInfo"`
	NextToken *string         `xml:"nextToken"`
}

type deleteSecurityGroupRequest struct {
	ID     *string `query:"GroupId"`
	Name   *string `query:"GroupName"`
	DryRun *bool   `query:"DryRun"`
}

type deleteSecurityGroupResponse struct {
	Return bool   `xml:"return"`
	ID     string `xml:"groupId"`
}

// securityGroup is the SecurityGroup structure.
type securityGroup struct {
	OwnerID     string         `xml:"ownerId"`
	ID          string         `xml:"groupId"`
	Name        string         `xml:"groupName"`
	Description string         `xml:"groupDescription"`
	VpcID       string         `xml:"vpcId"`
	Arn         string         `xml:"securityGroupArn"`
	Ingress     []ipPermission `xml:"ipPermissions"`
	Egress      []ipPermission `xml:"ipPermissionsEgress"`
	Tags        []resourceTag  `xml:"tagSet"`
}

func showGroup(g sluice.SecurityGroup, scope sluice.Scope) securityGroup {
	out := securityGroup{
		OwnerID: g.OwnerID, ID: g.ID, Name: g.Name, Description: g.Description, VpcID: g.VpcID,
		Arn: scope.EC2ARN(sluice.ResourceSecurityGroup, g.ID), Tags: showResourceTags(g.Tags),
	}
	for _, r := range g.Rules {
		if r.Egress {
			out.Egress = addPermission(out.Egress, r, g.OwnerID)
		} else {
			out.Ingress = addPermission(out.Ingress, r, g.OwnerID)
		}
	}
	return out
}

func createSecurityGroup(ctx context.Context, c *call, in *createSecurityGroupRequest) (*createSecurityGroupResponse, error) {
	tags, err := specifiedTags(sluice.ResourceSecurityGroup, in.TagSpecifications)
	if err != nil {
		return nil, err
	}
	g, err := c.backend.CreateSecurityGroup(ctx, control.CreateSecurityGroupInput{
		Name: *in.Name, Description: *in.Description, VpcID: value(in.VpcID), Tags: tags, DryRun: value(in.DryRun),
	})
	return &createSecurityGroupResponse{true, g.ID, showResourceTags(g.Tags), c.backend.Scope().EC2ARN(sluice.ResourceSecurityGroup, g.ID)}, err
}

func describeSecurityGroups(ctx context.Context, c *call, in *describeSecurityGroupsRequest) (*describeSecurityGroupsResponse, error) {
	groups, err := c.backend.SecurityGroups(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]securityGroup, len(groups))
	for i, g := range groups {
		all[i] = showGroup(g, c.backend.Scope())
	}
	paged := in.pagedRead
	if len(in.Names) > 0 {
		for _, name := range in.Names {
			if !slices.ContainsFunc(groups, func(g sluice.SecurityGroup) bool { return g.Name == name }) {
				return nil, sluice.NoSuchResource(sluice.ResourceSecurityGroup, name)
			}
		}
		paged.Filters = append(paged.Filters, exactly("group-name", in.Names...))
	}
	page, next, err := groupListing().list(c, in.IDs, paged, all)
	if err != nil {
		return nil, err
	}
	return &describeSecurityGroupsResponse{page, next}, nil
}

func groupListing() listing[securityGroup] {
	type g = securityGroup
	filters := attributes[g]{
		"group-id":    one(func(v g) string { return v.ID }),
		"group-name":  one(func(v g) string { return v.Name }),
		"description": one(func(v g) string { return v.Description }),
		"vpc-id":      one(func(v g) string { return v.VpcID }),
		"owner-id":    one(func(v g) string { return v.OwnerID }),
	}
	addPermissionFilters(filters, "ip-permission.", func(v g) []ipPermission { return v.Ingress })
	addPermissionFilters(filters, "egress.ip-permission.", func(v g) []ipPermission { return v.Egress })
	return listing[g]{
		parameter: "groupId",
		id:        func(v g) string { return v.ID },
		tags:      func(v g) []sluice.Tag { return tagsShown(v.Tags) },
		maxPage:   1000,
		exclusive: true,
		malformed: malformedID("sg", "InvalidGroupId.Malformed"),
		missing:   noSuch(sluice.ResourceSecurityGroup),
		filters:   filters,
	}
}

// addPermissionFilters adds the filters on the permissions of one direction.
func addPermissionFilters(into attributes[securityGroup], prefix string, of func(securityGroup) []ipPermission) {
	each := func(get func(ipPermission) []string) func(securityGroup) []string {
		return func(g securityGroup) []string {
			var out []string
			for _, p := range of(g) {
				out = append(out, get(p)...)
			}
			return out
		}
	}
	into[prefix+"protocol"] = each(func(p ipPermission) []string { return []string{p.Protocol} })
	into[prefix+"from-port"] = each(func(p ipPermission) []string { return []string{number(p.FromPort)} })
	into[prefix+"to-port"] = each(func(p ipPermission) []string { return []string{number(p.ToPort)} })
	into[prefix+"cidr"] = each(func(p ipPermission) (out []string) {
		for _, r := range p.IPv4 {
			out = append(out, r.CIDR)
		}
		return out
	})
	into[prefix+"ipv6-cidr"] = each(func(p ipPermission) (out []string) {
		for _, r := range p.IPv6 {
			out = append(out, r.CIDR)
		}
		return out
	})
	into[prefix+"group-id"] = each(func(p ipPermission) (out []string) {
		for _, r := range p.Groups {
			out = append(out, r.GroupID)
		}
		return out
	})
}

func deleteSecurityGroup(ctx context.Context, c *call, in *deleteSecurityGroupRequest) (*deleteSecurityGroupResponse, error) {
	id, err := c.backend.DeleteSecurityGroup(ctx, control.SecurityGroupSelector{ID: value(in.ID), Name: value(in.Name)}, value(in.DryRun))
	return &deleteSecurityGroupResponse{true, id}, err
}
