package cloudshell

import (
	"context"
	"strconv"
	"strings"
	"time"

	"sluice/control"
)

// maxMinutes bounds durations; a hundred years.
const maxMinutes = 100 * 366 * 24 * 60

func createImmediateReservation(ctx context.Context, d *Door, c *call) (*info, error) {
	for _, name := range []string{"globalInputs", "requirementsInputs", "additionalInfoInputs"} {
		if len(c.params.list(name)) > 0 {
			return nil, faultf(control.SandboxErrorGeneral, "%s: blueprints have no inputs here", name)
		}
	}
	minutes, err := minutesOf(c, "durationInMinutes")
	if err != nil {
		return nil, err
	}
	owner := c.params.value("owner")
	if owner != "" {
		if owner, err = d.userName(owner); err != nil {
			return nil, err
		}
	}
	s, err := d.Backend.CreateSandbox(ctx, c.user, control.CreateSandboxInput{
		Name:      c.params.value("reservationName"),
		Owner:     owner,
		Duration:  minutes,
		Blueprint: c.params.value("topologyFullPath"),
	})
	if err != nil {
		return nil, err
	}
	i := newInfo("CreateReservationResponseInfo")
	writeShortInfo(i, "Reservation", c.dates, s)
	return i, nil
}

// minutesOf reads a whole number of minutes from 1 on.
func minutesOf(c *call, name string) (time.Duration, error) {
	text := strings.TrimSpace(c.params.value(name))
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxMinutes {
		return 0, faultf(control.SandboxErrorGeneral, "%s is '%s', want a whole number from 1 to %d", name, cut(text), maxMinutes)
	}
	return time.Duration(n) * time.Minute, nil
}

// shortAttributes are the scalars of a ReservationShortInfo.
func shortAttributes(d dates, s control.Sandbox) []string {
	return []string{
		"Id", s.ID, "Name", s.Name, "Description", s.Description,
		"StartTime", d.format(s.Start), "EndTime", d.format(s.End), "RecurrenceType", "None",
		"Owner", s.Owner, "Booked", "true", "Status", s.Status, "ProvisioningStatus", s.Provisioning,
		"ActualEndTime", d.format(s.ActualEnd), "CreateDate", d.format(s.Created), "ModificationDate", d.format(s.Modified),
		"DomainName", s.Domain,
	}
}

// writeShortLists writes the lists of a ReservationShortInfo.
func writeShortLists(i *info, s control.Sandbox) {
	if s.Blueprint == "" {
		i.empty("Topologies")
		i.empty("TopologiesInfo")
	} else {
		name := s.Blueprint[strings.LastIndexByte(s.Blueprint, '/')+1:]
		i.open("Topologies")
		i.leaf("TopologyName", s.Blueprint)
		i.close("Topologies")
		i.open("TopologiesInfo")
		i.open("Topology", "Name", s.Blueprint, "Alias", name)
		i.leaf("Type", "Regular") // there are no templates
		i.leaf("State", s.Provisioning)
		i.close("Topology")
		i.close("TopologiesInfo")
	}
	users := append([]string{s.Owner}, s.PermittedUsers...)
	i.list("PermittedUsers", len(users), func(k int) { i.leaf("PermittedUser", users[k]) })
}

func writeShortInfo(i *info, name string, d dates, s control.Sandbox) {
	i.open(name, shortAttributes(d, s)...)
	writeShortLists(i, s)
	i.close(name)
}

func getReservationDetails(ctx context.Context, d *Door, c *call) (*info, error) {
	s, err := d.Backend.Sandbox(ctx, c.user, c.sandboxID())
	if err != nil {
		return nil, err
	}
	i := newInfo("GetReservationDescriptionResponseInfo")
	i.open("ReservationDescription", shortAttributes(c.dates, s)...)
	writeShortLists(i, s)
	i.list("Resources", len(s.Resources), func(k int) { writeReservedResource(i, s, s.Resources[k]) })
	for _, name := range []string{
		"TopologiesReservedResources", "Conflicts", "TopologiesRouteInfo", "TopologiesResourcesAttributeInfo",
		"TopologiesInstructionsInfo", "ActiveRoutesInfo", "RequestedRoutesInfo", "Connectors", "Apps",
	} {
		i.empty(name)
	}
	i.empty("ReservationLiveStatus", "ReservationId", s.ID, "ReservationLiveStatusName", liveStatus(s))
	i.leaf("SetupStage", setupStage(s))
	i.list("Services", len(s.Services), func(k int) {
		v := s.Services[k]
		i.open("ServiceInstance", "ServiceName", v.Name, "Alias", v.Alias, "Address", "")
		i.list("Attributes", len(v.Attributes), func(n int) {
			i.empty("AttributeValueInfo", "Name", v.Attributes[n].Name, "Value", v.Attributes[n].Value)
		})
		i.close("ServiceInstance")
	})
	i.close("ReservationDescription")
	return i, nil
}

// liveStatus is the status that people see.
func liveStatus(s control.Sandbox) string {
	switch {
	case s.Provisioning == control.ProvisioningError:
		return "Error"
	case s.Status == control.SandboxStarted:
		return "Online"
	}
	return "Offline"
}

// setupStage is how far the setup is.
func setupStage(s control.Sandbox) string {
	switch s.Provisioning {
	case control.ProvisioningReady, control.ProvisioningTeardown:
		return "Ended"
	case control.ProvisioningSetup, control.ProvisioningError:
		return "Provisioning"
	}
	return "None"
}

func getReservationStatus(ctx context.Context, d *Door, c *call) (*info, error) {
	s, err := d.Backend.Sandbox(ctx, c.user, c.sandboxID())
	if err != nil {
		return nil, err
	}
	i := newInfo("ReservationSlimStatusInfo")
	i.empty("ReservationSlimStatus", "ReservationId", s.ID, "StartTime", c.dates.format(s.Start), "EndTime", c.dates.format(s.End),
		"Status", s.Status, "ProvisioningStatus", s.Provisioning, "Booked", "true", "SetupStage", setupStage(s))
	return i, nil
}

func getReservationRemainingTime(ctx context.Context, d *Door, c *call) (*info, error) {
	s, err := d.Backend.Sandbox(ctx, c.user, c.sandboxID())
	if err != nil {
		return nil, err
	}
	left := "-1" // in overtime
	if t := s.End.Sub(d.Clock()); t > 0 && s.Status == control.SandboxStarted {
		left = strconv.FormatFloat(t.Minutes(), 'f', 2, 64)
	}
	return newInfo("GetReservationRemainingTimeInfo", "RemainingTimeInMinutes", left), nil
}

func getCurrentReservations(ctx context.Context, d *Door, c *call) (*info, error) {
	all, err := d.Backend.Sandboxes(ctx, c.user, c.params.value("reservationOwner"))
	if err != nil {
		return nil, err
	}
	i := newInfo("GetActiveReservationsResponseInfo")
	i.list("Reservations", len(all), func(k int) { writeShortInfo(i, "Reservation", c.dates, all[k]) })
	return i, nil
}

func extendReservation(ctx context.Context, d *Door, c *call) (*info, error) {
	by, err := minutesOf(c, "minutesToAdd")
	if err != nil {
		return nil, err
	}
	return nil, d.Backend.ExtendSandbox(ctx, c.user, c.sandboxID(), by)
}

func endReservation(ctx context.Context, d *Door, c *call) (*info, error) {
	return nil, d.Backend.EndSandbox(ctx, c.user, c.sandboxID())
}

func terminateReservation(ctx context.Context, d *Door, c *call) (*info, error) {
	return nil, d.Backend.TerminateSandbox(ctx, c.user, c.sandboxID())
}

func addPermittedUsers(ctx context.Context, d *Door, c *call) (*info, error) {
	names := c.params.strings("usernames")
	for k, name := range names {
		var err error
		if names[k], err = d.userName(name); err != nil {
			return nil, err
		}
	}
	return nil, d.Backend.AddPermittedUsers(ctx, c.user, c.sandboxID(), names)
}

// userName is the name of a user as the configuration spells it.
func (d *Door) userName(name string) (string, error) {
	u, ok := d.users[strings.ToLower(strings.TrimSpace(name))]
	if !ok {
		return "", faultf(control.SandboxErrorGeneral, "User '%s' does not exist", cut(name))
	}
	return u.Name, nil
}

func writeMessage(ctx context.Context, d *Door, c *call) (*info, error) {
	return nil, d.Backend.WriteMessage(ctx, c.user, c.sandboxID(), c.params.value("message"))
}

func getSandboxData(ctx context.Context, d *Door, c *call) (*info, error) {
	data, err := d.Backend.SandboxData(ctx, c.user, c.sandboxID())
	if err != nil {
		return nil, err
	}
	i := newInfo("GetSandboxDataInfo")
	i.list("SandboxDataKeyValues", len(data), func(k int) {
		i.empty("SandboxDataKeyValue", "Key", data[k].Name, "Value", data[k].Value)
	})
	return i, nil
}

func setSandboxData(ctx context.Context, d *Door, c *call) (*info, error) {
	var data []control.NameValue
	for _, e := range c.params.list("sandboxDataKeyValues") {
		if e.value("Key") == "" || e.stray() != "" {
			return nil, faultf(control.SandboxErrorGeneral, "SandboxDataKeyValue: Key and Value must be strings, and Key not empty")
		}
		data = append(data, control.NameValue{Name: e.value("Key"), Value: e.value("Value")})
	}
	return nil, d.Backend.SetSandboxData(ctx, c.user, c.sandboxID(), data)
}

func clearSandboxData(ctx context.Context, d *Door, c *call) (*info, error) {
	return nil, d.Backend.ClearSandboxData(ctx, c.user, c.sandboxID())
}

func getServerDateAndTime(_ context.Context, d *Door, c *call) (*info, error) {
	return newInfo("ServerTimeInfo", "ServerDateTime", c.dates.format(d.Clock())), nil
}
