package api

import (
	"context"
	"strconv"

	"sluice"
)

// instanceType is the type of every instance: a host with an agent.
const instanceType = "sluice.host"

type describeInstancesRequest struct {
	IDs []string `query:"InstanceId"`
	pagedRead
	IncludeManagedResources *bool `query:"IncludeManagedResources"`
}

type describeInstancesResponse struct {
	Reservations []reservation `xml:"reservationSet"`
	NextToken    *string       `xml:"nextToken"`
}

// reservation holds one instance each, since nothing is known of how hosts came.
type reservation struct {
	ID        string     `xml:"reservationId"`
	OwnerID   string     `xml:"ownerId"`
	Groups    []struct{} `xml:"groupSet"`
	Instances []instance `xml:"instancesSet"`
}

// instance is the Instance structure, without what is not known of a host: image,
// launch time, architecture.
type instance struct {
	ID                string              `xml:"instanceId"`
	State             instanceState       `xml:"instanceState"`
	PrivateDNSName    string              `xml:"privateDnsName"`
	InstanceType      string              `xml:"instanceType"`
	Placement         placement           `xml:"placement"`
	Monitoring        monitoring          `xml:"monitoring"`
	SubnetID          string              `xml:"subnetId"`
	VpcID             string              `xml:"vpcId"`
	PrivateIP         string              `xml:"privateIpAddress"`
	Hypervisor        string              `xml:"hypervisor"`
	SourceDestCheck   bool                `xml:"sourceDestCheck"`
	Groups            []struct{}          `xml:"groupSet"`
	NetworkInterfaces []instanceInterface `xml:"networkInterfaceSet"`
	Tags              []resourceTag       `xml:"tagSet"`

	owner, reservation string
}

type instanceState struct {
	Code int    `xml:"code"`
	Name string `xml:"name"`
}

type placement struct {
	AvailabilityZone string `xml:"availabilityZone"`
	Tenancy          string `xml:"tenancy"`
}

type monitoring struct {
	State string `xml:"state"`
}

// instanceInterface is the InstanceNetworkInterface structure.
type instanceInterface struct {
	ID              string             `xml:"networkInterfaceId"`
	SubnetID        string             `xml:"subnetId"`
	VpcID           string             `xml:"vpcId"`
	Description     string             `xml:"description"`
	OwnerID         string             `xml:"ownerId"`
	Status          string             `xml:"status"`
	MacAddress      string             `xml:"macAddress"`
	PrivateIP       string             `xml:"privateIpAddress"`
	SourceDestCheck bool               `xml:"sourceDestCheck"`
	Groups          []struct{}         `xml:"groupSet"`
	Attachment      instanceAttachment `xml:"attachment"`
	PrivateIPs      []privateIP        `xml:"privateIpAddressesSet"`
	IPv6            []ipv6Address      `xml:"ipv6AddressesSet"`
	InterfaceType   string             `xml:"interfaceType"`
}

type instanceAttachment struct {
	AttachmentID        string `xml:"attachmentId"`
	DeviceIndex         int    `xml:"deviceIndex"`
	Status              string `xml:"status"`
	DeleteOnTermination bool   `xml:"deleteOnTermination"`
	NetworkCardIndex    int    `xml:"networkCardIndex"`
}

func describeInstances(ctx context.Context, c *call, in *describeInstancesRequest) (*describeInstancesResponse, error) {
	inv, err := c.inventory(ctx)
	if err != nil {
		return nil, err
	}
	page, next, err := instanceListing().list(c, in.IDs, in.pagedRead, showInstances(inv, c.backend.Scope()))
	if err != nil {
		return nil, err
	}
	out := &describeInstancesResponse{NextToken: next}
	for _, i := range page {
		out.Reservations = append(out.Reservations, reservation{ID: i.reservation, OwnerID: i.owner, Instances: []instance{i}})
	}
	return out, nil
}

func instanceListing() listing[instance] {
	return listing[instance]{
		parameter: "instancesSet",
		id:        func(i instance) string { return i.ID },
		tags:      func(i instance) []sluice.Tag { return tagsShown(i.Tags) },
		maxPage:   1000,
		exclusive: true,
		malformed: malformedID("i", "InvalidInstanceID.Malformed"),
		missing:   missingID("instance", "InvalidInstanceID.NotFound"),
		filters:   instanceAttributes(),
	}
}

func instanceAttributes() attributes[instance] {
	type i = instance
	each := func(get func(instanceInterface) string) func(i) []string {
		return func(v i) []string {
			out := make([]string, len(v.NetworkInterfaces))
			for k, n := range v.NetworkInterfaces {
				out[k] = get(n)
			}
			return out
		}
	}
	addresses := func(v i) []string {
		var out []string
		for _, n := range v.NetworkInterfaces {
			for _, a := range n.PrivateIPs {
				out = append(out, a.Address)
			}
		}
		return out
	}
	zone := func(v i) string { return v.Placement.AvailabilityZone }
	return attributes[i]{
		"instance-id":         one(func(v i) string { return v.ID }),
		"vpc-id":              one(func(v i) string { return v.VpcID }),
		"subnet-id":           one(func(v i) string { return v.SubnetID }),
		"availability-zone":   one(zone),
		"instance-type":       one(func(v i) string { return v.InstanceType }),
		"instance-state-name": one(func(v i) string { return v.State.Name }),
		"instance-state-code": one(func(v i) string { return strconv.Itoa(v.State.Code) }),
		"private-ip-address":  one(func(v i) string { return v.PrivateIP }),
		"private-dns-name":    one(func(v i) string { return v.PrivateDNSName }),
		"owner-id":            one(func(v i) string { return v.owner }),
		"reservation-id":      one(func(v i) string { return v.reservation }),
		"hypervisor":          one(func(v i) string { return v.Hypervisor }),
		"tenancy":             one(func(v i) string { return v.Placement.Tenancy }),
		"source-dest-check":   one(func(v i) string { return strconv.FormatBool(v.SourceDestCheck) }),

		"network-interface.network-interface-id":         each(func(n instanceInterface) string { return n.ID }),
		"network-interface.subnet-id":                    each(func(n instanceInterface) string { return n.SubnetID }),
		"network-interface.vpc-id":                       each(func(n instanceInterface) string { return n.VpcID }),
		"network-interface.mac-address":                  each(func(n instanceInterface) string { return n.MacAddress }),
		"network-interface.owner-id":                     each(func(n instanceInterface) string { return n.OwnerID }),
		"network-interface.availability-zone":            one(zone),
		"network-interface.addresses.private-ip-address": addresses,
	}
}

func showInstances(inv taggedInventory, scope sluice.Scope) []instance {
	byInstance := map[string][]networkInterface{}
	for _, n := range showInterfaces(inv, scope) {
		if a := n.Attachment; a != nil {
			byInstance[a.InstanceID] = append(byInstance[a.InstanceID], n)
		}
	}
	out := make([]instance, len(inv.Instances))
	for k, i := range inv.Instances {
		out[k] = showInstance(i, byInstance[i.ID], scope.AccountID, inv.tags[i.ID])
	}
	return out
}

func showInstance(i sluice.Instance, interfaces []networkInterface, account string, tags []sluice.Tag) instance {
	out := instance{
		ID:              i.ID,
		State:           instanceState{16, "running"},
		PrivateDNSName:  i.Name,
		InstanceType:    instanceType,
		Placement:       placement{i.AvailabilityZone, "default"},
		Monitoring:      monitoring{"disabled"},
		SubnetID:        i.SubnetID,
		VpcID:           i.VpcID,
		Hypervisor:      "nitro",
		SourceDestCheck: true,
		Tags:            showResourceTags(inventoryTags(i.Name, tags)),
		owner:           account,
		reservation:     sluice.DeriveID("r", i.ID),
	}
	for _, n := range interfaces {
		a := n.Attachment
		out.NetworkInterfaces = append(out.NetworkInterfaces, instanceInterface{
			ID: n.ID, SubnetID: n.SubnetID, VpcID: n.VpcID, Description: n.Description, OwnerID: n.OwnerID,
			Status: n.Status, MacAddress: n.MacAddress, PrivateIP: n.PrivateIP, SourceDestCheck: n.SourceDestCheck,
			Attachment: instanceAttachment{AttachmentID: a.AttachmentID, DeviceIndex: a.DeviceIndex, Status: a.Status},
			PrivateIPs: n.PrivateIPs, IPv6: n.IPv6, InterfaceType: n.InterfaceType,
		})
		out.SourceDestCheck = out.SourceDestCheck && n.SourceDestCheck
		if a.DeviceIndex == 0 {
			out.PrivateIP = n.PrivateIP
		}
	}
	return out
}
