package api

import (
	"context"
	"net/netip"
	"slices"
	"strconv"

	"sluice"
)

type describeNetworkInterfacesRequest struct {
	IDs []string `query:"NetworkInterfaceId"`
	pagedRead
	IncludeManagedResources *bool `query:"IncludeManagedResources"`
}

type describeNetworkInterfacesResponse struct {
	NetworkInterfaces []networkInterface `xml:"networkInterfaceSet"`
	NextToken         *string            `xml:"nextToken"`
}

// networkInterface is the NetworkInterface structure. The one inside an instance has
// the same members but for availabilityZone and the tags.
type networkInterface struct {
	ID               string               `xml:"networkInterfaceId"`
	SubnetID         string               `xml:"subnetId"`
	VpcID            string               `xml:"vpcId"`
	AvailabilityZone string               `xml:"availabilityZone"`
	Description      string               `xml:"description"`
	OwnerID          string               `xml:"ownerId"`
	RequesterManaged bool                 `xml:"requesterManaged"`
	Status           string               `xml:"status"`
	MacAddress       string               `xml:"macAddress"`
	PrivateIP        string               `xml:"privateIpAddress"`
	SourceDestCheck  bool                 `xml:"sourceDestCheck"`
	Groups           []struct{}           `xml:"groupSet"`
	Attachment       *interfaceAttachment `xml:"attachment"` // nil: the device is away
	Tags             []resourceTag        `xml:"tagSet"`
	PrivateIPs       []privateIP          `xml:"privateIpAddressesSet"`
	IPv6             []ipv6Address        `xml:"ipv6AddressesSet"`
	InterfaceType    string               `xml:"interfaceType"`
}

type interfaceAttachment struct {
	AttachmentID        string `xml:"attachmentId"`
	InstanceID          string `xml:"instanceId"`
	InstanceOwnerID     string `xml:"instanceOwnerId"`
	DeviceIndex         int    `xml:"deviceIndex"`
	NetworkCardIndex    int    `xml:"networkCardIndex"`
	Status              string `xml:"status"`
	DeleteOnTermination bool   `xml:"deleteOnTermination"`
}

type privateIP struct {
	Address string `xml:"privateIpAddress"`
	Primary bool   `xml:"primary"`
}

type ipv6Address struct {
	Address string `xml:"ipv6Address"`
}

func describeNetworkInterfaces(ctx context.Context, c *call, in *describeNetworkInterfacesRequest) (*describeNetworkInterfacesResponse, error) {
	inv, err := c.inventory(ctx)
	if err != nil {
		return nil, err
	}
	page, next, err := interfaceListing().list(c, in.IDs, in.pagedRead, showInterfaces(inv, c.backend.Scope()))
	if err != nil {
		return nil, err
	}
	return &describeNetworkInterfacesResponse{page, next}, nil
}

func interfaceListing() listing[networkInterface] {
	return listing[networkInterface]{
		parameter: "networkInterfaceIdSet",
		id:        func(n networkInterface) string { return n.ID },
		tags:      func(n networkInterface) []sluice.Tag { return tagsShown(n.Tags) },
		maxPage:   1000,
		exclusive: true,
		malformed: malformedID("eni", "InvalidNetworkInterfaceId.Malformed"),
		missing:   missingID("networkInterface", "InvalidNetworkInterfaceID.NotFound"),
		filters:   interfaceAttributes(),
	}
}

func interfaceAttributes() attributes[networkInterface] {
	type n = networkInterface
	return attributes[n]{
		"network-interface-id":             one(func(v n) string { return v.ID }),
		"subnet-id":                        one(func(v n) string { return v.SubnetID }),
		"vpc-id":                           one(func(v n) string { return v.VpcID }),
		"availability-zone":                one(func(v n) string { return v.AvailabilityZone }),
		"description":                      one(func(v n) string { return v.Description }),
		"owner-id":                         one(func(v n) string { return v.OwnerID }),
		"requester-managed":                one(func(v n) string { return strconv.FormatBool(v.RequesterManaged) }),
		"status":                           one(func(v n) string { return v.Status }),
		"mac-address":                      one(func(v n) string { return v.MacAddress }),
		"source-dest-check":                one(func(v n) string { return strconv.FormatBool(v.SourceDestCheck) }),
		"interface-type":                   one(func(v n) string { return v.InterfaceType }),
		"group-id":                         same[n](),
		"group-name":                       same[n](),
		"private-ip-address":               interfaceIPv4,
		"addresses.private-ip-address":     interfaceIPv4,
		"ipv6-addresses.ipv6-address":      interfaceIPv6,
		"attachment.attachment-id":         attached(func(a interfaceAttachment) string { return a.AttachmentID }),
		"attachment.instance-id":           attached(func(a interfaceAttachment) string { return a.InstanceID }),
		"attachment.instance-owner-id":     attached(func(a interfaceAttachment) string { return a.InstanceOwnerID }),
		"attachment.device-index":          attached(func(a interfaceAttachment) string { return strconv.Itoa(a.DeviceIndex) }),
		"attachment.status":                attached(func(a interfaceAttachment) string { return a.Status }),
		"attachment.delete-on-termination": attached(func(a interfaceAttachment) string { return strconv.FormatBool(a.DeleteOnTermination) }),
	}
}

// attached makes an attribute of the attachment, which interfaces without one don't have.
func attached(get func(interfaceAttachment) string) func(networkInterface) []string {
	return func(n networkInterface) []string {
		if n.Attachment == nil {
			return nil
		}
		return []string{get(*n.Attachment)}
	}
}

func interfaceIPv4(n networkInterface) []string {
	out := make([]string, len(n.PrivateIPs))
	for i, a := range n.PrivateIPs {
		out[i] = a.Address
	}
	return out
}

func interfaceIPv6(n networkInterface) []string {
	out := make([]string, len(n.IPv6))
	for i, a := range n.IPv6 {
		out[i] = a.Address
	}
	return out
}

func tagsShown(in []resourceTag) []sluice.Tag {
	out := make([]sluice.Tag, len(in))
	for i, t := range in {
		out[i] = sluice.Tag(t)
	}
	return out
}

func showInterfaces(inv taggedInventory, scope sluice.Scope) []networkInterface {
	devices := map[string]int{} // position in the instance, by interface id
	for _, i := range inv.Instances {
		for index, id := range i.InterfaceIDs {
			devices[id] = index
		}
	}
	out := make([]networkInterface, len(inv.Interfaces))
	for i, n := range inv.Interfaces {
		out[i] = showInterface(n, devices[n.ID], scope.AccountID, inv.tags[n.ID])
	}
	return out
}

func showInterface(n sluice.Interface, deviceIndex int, account string, tags []sluice.Tag) networkInterface {
	name := n.Device
	out := networkInterface{
		ID:               n.ID,
		SubnetID:         n.SubnetID,
		VpcID:            n.VpcID,
		AvailabilityZone: n.AvailabilityZone,
		Description:      "device " + n.Device + " of host " + n.HostID,
		OwnerID:          account,
		Status:           "available",
		MacAddress:       n.MAC,
		// An interface that carries firewalls forwards what is not its own.
		SourceDestCheck: !n.Firewall,
		InterfaceType:   "interface",
	}
	if n.Present() {
		out.Status = "in-use"
		out.Attachment = &interfaceAttachment{
			AttachmentID:    sluice.DeriveID("eni-attach", n.ID),
			InstanceID:      n.InstanceID,
			InstanceOwnerID: account,
			DeviceIndex:     deviceIndex,
			Status:          "attached",
		}
	}
	if n.Netns != "" {
		out.Description = "device " + n.Device + " in network namespace " + n.Netns + " of host " + n.HostID
		name = n.Netns + "/" + n.Device
	}
	out.Tags = showResourceTags(inventoryTags(name, tags))
	for _, a := range globalAddresses(n.Addresses) {
		if a.Is4() {
			out.PrivateIPs = append(out.PrivateIPs, privateIP{a.String(), len(out.PrivateIPs) == 0})
		} else {
			out.IPv6 = append(out.IPv6, ipv6Address{a.String()})
		}
	}
	if len(out.PrivateIPs) > 0 {
		out.PrivateIP = out.PrivateIPs[0].Address
	}
	return out
}

// globalAddresses leaves link-local addresses out: a VPC does not know them.
func globalAddresses(in []netip.Prefix) []netip.Addr {
	var out []netip.Addr
	for _, p := range in {
		if a := p.Addr().Unmap(); !a.IsLinkLocalUnicast() && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}
