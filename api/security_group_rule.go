package api

import (
	"context"

	"sluice"
	"sluice/control"
)

// ingressGiven are the parameters that name ingress rules of a group: a list of
// permissions, or one permission spelt out.
type ingressGiven struct {
	ID          *string             `query:"GroupId"`
	Name        *string             `query:"GroupName"`
	Permissions []ipPermissionGiven `query:"IpPermissions"`
	Protocol    *string             `query:"IpProtocol"`
	FromPort    *int32              `query:"FromPort"`
	ToPort      *int32              `query:"ToPort"`
	CIDR        *string             `query:"CidrIp"`
	SourceName  *string             `query:"SourceSecurityGroupName"`
	SourceOwner *string             `query:"SourceSecurityGroupOwnerId"`
	DryRun      *bool               `query:"DryRun"`
}

type ipPermissionGiven struct {
	Protocol    *string           `query:"IpProtocol"`
	FromPort    *int32            `query:"FromPort"`
	ToPort      *int32            `query:"ToPort"`
	IPv4        []ipRangeGiven    `query:"IpRanges"`
	IPv6        []ipv6RangeGiven  `query:"Ipv6Ranges"`
	Groups      []groupPairGiven  `query:"Groups"`
	PrefixLists []prefixListGiven `query:"PrefixListIds"`
}

type ipRangeGiven struct {
	CIDR        *string `query:"CidrIp"`
	Description *string `query:"Description"`
}

type ipv6RangeGiven struct {
	CIDR        *string `query:"CidrIpv6"`
	Description *string `query:"Description"`
}

type groupPairGiven struct {
	GroupID     *string `query:"GroupId"`
	GroupName   *string `query:"GroupName"`
	UserID      *string `query:"UserId"`
	VpcID       *string `query:"VpcId"` // a group's id says it already
	PeeringID   *string `query:"VpcPeeringConnectionId"`
	Peering     *string `query:"PeeringStatus"` // of answers; AWS takes it too
	Description *string `query:"Description"`
}

type prefixListGiven struct {
	ID          *string `query:"PrefixListId"`
	Description *string `query:"Description"`
}

// permissions makes what control needs.
func (in ingressGiven) permissions(account string) ([]control.IPPermission, error) {
	given := in.Permissions
	if in.Protocol != nil || in.CIDR != nil || in.SourceName != nil {
		if len(given) > 0 {
			return nil, sluice.EC2Errorf(sluice.KindInvalidRequest, "InvalidParameterCombination",
				"The parameter ipPermissions cannot be used with the parameter ipProtocol, cidrIp or sourceSecurityGroupName")
		}
		p := ipPermissionGiven{Protocol: in.Protocol, FromPort: in.FromPort, ToPort: in.ToPort}
		if in.CIDR != nil {
			p.IPv4 = []ipRangeGiven{{CIDR: in.CIDR}}
		}
		if in.SourceName != nil {
			p.Groups = []groupPairGiven{{GroupName: in.SourceName, UserID: in.SourceOwner}}
		}
		given = []ipPermissionGiven{p}
	}
	var out []control.IPPermission
	for _, g := range given {
		p := control.IPPermission{Protocol: value(g.Protocol), FromPort: g.FromPort, ToPort: g.ToPort}
		for _, r := range g.IPv4 {
			p.Peers = append(p.Peers, control.GroupPeer{IPv4: value(r.CIDR), Description: value(r.Description)})
		}
		for _, r := range g.IPv6 {
			p.Peers = append(p.Peers, control.GroupPeer{IPv6: value(r.CIDR), Description: value(r.Description)})
		}
		for _, r := range g.Groups {
			if value(r.UserID) != "" && *r.UserID != account {
				return nil, sluice.NoSuchResource(sluice.ResourceSecurityGroup, value(r.GroupID)+value(r.GroupName))
			}
			if id := value(r.PeeringID); id != "" {
				return nil, sluice.EC2Errorf(sluice.KindNotFound, "InvalidVpcPeeringConnectionID.NotFound",
					"The vpcPeeringConnection ID '%s' does not exist", clip(id))
			}
			peer := control.GroupPeer{Group: control.SecurityGroupSelector{ID: value(r.GroupID)}, Description: value(r.Description)}
			if peer.Group.ID == "" { // a client that has both sends both
				peer.Group.Name = value(r.GroupName)
			}
			p.Peers = append(p.Peers, peer)
		}
		for _, l := range g.PrefixLists {
			return nil, sluice.EC2Errorf(sluice.KindNotFound, "InvalidPrefixListId.NotFound", "The prefix list ID '%s' does not exist", clip(value(l.ID)))
		}
		out = append(out, p)
	}
	return out, nil
}

func (in ingressGiven) group() control.SecurityGroupSelector {
	return control.SecurityGroupSelector{ID: value(in.ID), Name: value(in.Name)}
}

type authorizeSecurityGroupIngressRequest struct {
	ingressGiven
	TagSpecifications []tagSpecification `query:"TagSpecification"`
}

type authorizeSecurityGroupIngressResponse struct {
	Return bool                `xml:"return"`
	Rules  []securityGroupRule `xml:"securityGroupRuleSet"`
}

type revokeSecurityGroupIngressRequest struct {
	ingressGiven
	RuleIDs []string `query:"SecurityGroupRuleId"`
}

type revokeSecurityGroupIngressResponse struct {
	Return  bool                       `xml:"return"`
	Unknown []struct{}                 `xml:"unknownIpPermissionSet"`
	Revoked []revokedSecurityGroupRule `xml:"revokedSecurityGroupRuleSet"`
}

// securityGroupRule is the SecurityGroupRule structure.
type securityGroupRule struct {
	ID              string           `xml:"securityGroupRuleId"`
	GroupID         string           `xml:"groupId"`
	GroupOwnerID    string           `xml:"groupOwnerId"`
	IsEgress        bool             `xml:"isEgress"`
	Protocol        string           `xml:"ipProtocol"`
	FromPort        int32            `xml:"fromPort"`
	ToPort          int32            `xml:"toPort"`
	IPv4            string           `xml:"cidrIpv4"`
	IPv6            string           `xml:"cidrIpv6"`
	ReferencedGroup *referencedGroup `xml:"referencedGroupInfo"`
	Description     string           `xml:"description"`
	Arn             string           `xml:"securityGroupRuleArn"`
	Tags            []resourceTag    `xml:"tagSet"`
}

type referencedGroup struct {
	GroupID string `xml:"groupId"`
	UserID  string `xml:"userId"`
}

// revokedSecurityGroupRule is the RevokedSecurityGroupRule structure.
type revokedSecurityGroupRule struct {
	ID                string `xml:"securityGroupRuleId"`
	GroupID           string `xml:"groupId"`
	IsEgress          bool   `xml:"isEgress"`
	Protocol          string `xml:"ipProtocol"`
	FromPort          int32  `xml:"fromPort"`
	ToPort            int32  `xml:"toPort"`
	IPv4              string `xml:"cidrIpv4"`
	IPv6              string `xml:"cidrIpv6"`
	ReferencedGroupID string `xml:"referencedGroupId"`
	Description       string `xml:"description"`
}

// groupCIDR returns the network of a rule in the member of its family.
func groupCIDR(r sluice.SecurityGroupRule) (v4, v6 string) {
	switch {
	case !r.CIDR.IsValid():
		return "", ""
	case r.CIDR.Addr().Is4():
		return r.CIDR.String(), ""
	}
	return "", r.CIDR.String()
}

func authorizeSecurityGroupIngress(ctx context.Context, c *call, in *authorizeSecurityGroupIngressRequest) (*authorizeSecurityGroupIngressResponse, error) {
	scope := c.backend.Scope()
	tags, err := specifiedTags(sluice.ResourceSecurityGroupRule, in.TagSpecifications)
	if err != nil {
		return nil, err
	}
	permissions, err := in.permissions(scope.AccountID)
	if err != nil {
		return nil, err
	}
	g, rules, err := c.backend.AuthorizeSecurityGroupIngress(ctx, control.AuthorizeSecurityGroupIngressInput{
		Group: in.group(), Permissions: permissions, Tags: tags, DryRun: value(in.DryRun),
	})
	out := &authorizeSecurityGroupIngressResponse{Return: true}
	for _, r := range rules {
		shown := securityGroupRule{
			ID: r.ID, GroupID: g.ID, GroupOwnerID: g.OwnerID, IsEgress: r.Egress, Protocol: r.Protocol, FromPort: r.FromPort, ToPort: r.ToPort,
			Description: r.Description, Arn: scope.EC2ARN(sluice.ResourceSecurityGroupRule, r.ID), Tags: showResourceTags(r.Tags),
		}
		shown.IPv4, shown.IPv6 = groupCIDR(r)
		if r.GroupID != "" {
			shown.ReferencedGroup = &referencedGroup{r.GroupID, g.OwnerID}
		}
		out.Rules = append(out.Rules, shown)
	}
	return out, err
}

func revokeSecurityGroupIngress(ctx context.Context, c *call, in *revokeSecurityGroupIngressRequest) (*revokeSecurityGroupIngressResponse, error) {
	permissions, err := in.permissions(c.backend.Scope().AccountID)
	if err != nil {
		return nil, err
	}
	g, rules, err := c.backend.RevokeSecurityGroupIngress(ctx, control.RevokeSecurityGroupIngressInput{
		Group: in.group(), Permissions: permissions, RuleIDs: in.RuleIDs, DryRun: value(in.DryRun),
	})
	out := &revokeSecurityGroupIngressResponse{Return: true}
	for _, r := range rules {
		shown := revokedSecurityGroupRule{
			ID: r.ID, GroupID: g.ID, IsEgress: r.Egress, Protocol: r.Protocol, FromPort: r.FromPort, ToPort: r.ToPort,
			ReferencedGroupID: r.GroupID, Description: r.Description,
		}
		shown.IPv4, shown.IPv6 = groupCIDR(r)
		out.Revoked = append(out.Revoked, shown)
	}
	return out, err
}
