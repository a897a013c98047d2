package cloudshell

import (
	"context"
	"strconv"
	"strings"

	"sluice/control"
)

func addResources(ctx context.Context, d *Door, c *call) (*info, error) {
	shared := strings.EqualFold(strings.TrimSpace(c.params.value("shared")), "true")
	if err := d.Backend.AddResources(ctx, c.user, c.sandboxID(), c.params.strings("resourcesFullPath"), shared); err != nil {
		return nil, err
	}
	return noConflicts(), nil
}

func removeResources(ctx context.Context, d *Door, c *call) (*info, error) {
	if err := d.Backend.RemoveResources(ctx, c.user, c.sandboxID(), c.params.strings("resourcesFullPath")); err != nil {
		return nil, err
	}
	return noConflicts(), nil
}

func noConflicts() *info {
	i := newInfo("ReserveResourcesResponseInfo")
	i.empty("Conflicts")
	return i
}

func writeReservedResource(i *info, s control.Sandbox, r control.SandboxResource) {
	attrs := []string{
		"Name", r.Name, "FolderFullPath", "", "FullAddress", r.Address, "Shared", strconv.FormatBool(r.Shared),
		"Availability", "Available", "Locked", "false", "Released", "false",
		"ResourceFamilyName", r.Family, "ResourceModelName", r.Model,
		"CreatedByUser", s.Owner, "CreatedInDomain", s.Domain, "CreatedInReservation", s.ID,
		"AppTemplateName", r.AppName,
	}
	if r.VM == nil && r.AppName == "" {
		i.empty("ReservedResource", attrs...)
		return
	}
	i.open("ReservedResource", attrs...)
	writeVMDetails(i, r.VM)
	if r.AppName != "" {
		i.empty("AppDetails", "AppName", r.AppName)
	}
	i.close("ReservedResource")
}

// writeVMDetails writes nothing for what is no instance: scripts look whether the
// element is there.
func writeVMDetails(i *info, v *control.VMDetails) {
	if v == nil {
		return
	}
	i.open("VmDetails", "UID", v.InstanceID, "CloudProviderFullName", v.Provider)
	i.empty("VmCustomParams")
	i.list("InstanceData", len(v.Data), func(k int) { i.empty("VmInstanceParam", "Name", v.Data[k].Name, "Value", v.Data[k].Value) })
	i.list("NetworkData", len(v.Interfaces), func(k int) {
		n := v.Interfaces[k]
		i.open("VmDetailsNetworkInterface", "NetworkId", n.SubnetID, "IsPrimary", strconv.FormatBool(n.DeviceIndex == 0))
		i.open("AdditionalData")
		// Scripts compare these names in lower case.
		for _, p := range [][2]string{
			{"ip", n.Address}, {"mac address", n.MAC}, {"nic", n.ID}, {"device index", strconv.Itoa(n.DeviceIndex)},
		} {
			i.empty("AdditionalDataParam", "Name", p[0], "Value", p[1])
		}
		i.close("AdditionalData")
		i.close("VmDetailsNetworkInterface")
	})
	i.close("VmDetails")
}

func getResourceDetails(ctx context.Context, d *Door, c *call) (*info, error) {
	r, err := d.Backend.Resource(ctx, c.user, c.params.value("resourceFullPath"))
	if err != nil {
		return nil, err
	}
	i := newInfo("ResourceInfo", "Name", r.Name, "Address", r.Address, "FolderFullPath", "", "FullAddress", r.Address,
		"ResourceFamilyName", r.Family, "ResourceModelName", r.Model, "CreatedInReservation", r.SandboxID, "CreatedInReservationId", r.SandboxID)
	for _, name := range []string{"ResourceAttributes", "Domains", "ChildResources", "Connections"} {
		i.empty(name)
	}
	writeVMDetails(i, r.VM)
	return i, nil
}

func getResourceCommands(ctx context.Context, d *Door, c *call) (*info, error) {
	r, err := d.Backend.Resource(ctx, c.user, c.params.value("resourceFullPath"))
	if err != nil {
		return nil, err
	}
	var list []command
	if strings.EqualFold(r.Name, d.Provider) {
		list = commands()
	}
	i := newInfo("ResourceCommandListInfo")
	i.list("Commands", len(list), func(k int) {
		i.open("ResourceCommandInfo", "Name", list[k].name, "Tag", "", "Description", list[k].description, "DisplayName", list[k].display)
		i.open("Parameters")
		i.empty("CommandParameter", "Name", requestInput, "Description", "The driver request, as JSON", "Type", "String",
			"Mandatory", "true", "DefaultValue", "", "EnumValues", "")
		i.close("Parameters")
		i.close("ResourceCommandInfo")
	})
	return i, nil
}
