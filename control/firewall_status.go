package control

import (
	"fmt"
	"slices"
	"strings"

	"sluice"
)

// firewallStatus derives the status of a firewall from what was published and
// what the agents say. It is READY when all its attachments are; it stays so while
// a policy is on its way, and only the summary is PENDING then.
func firewallStatus(f sluice.Firewall, policy sluice.FirewallPolicy, p publication, statuses []sluice.AgentStatus) FirewallStatus {
	s := FirewallStatus{
		Status:      sluice.FirewallReady,
		SyncSummary: sluice.SyncInSync,
		Zones:       make(map[string]ZoneState, len(f.SubnetMappings)),
	}
	for _, m := range f.SubnetMappings {
		z := ZoneState{SubnetID: m.SubnetID, ConfigSync: sluice.SyncPending, ConfigToken: policy.UpdateToken}
		if f.Deleting {
			z.Attachment, z.EndpointID = sluice.AttachmentDeleting, m.EndpointID
		} else {
			e, published := p.endpoints[m.EndpointID]
			z.Attachment, z.Message = attachment(m, e, published, statuses)
			if z.Attachment != sluice.AttachmentCreating {
				z.EndpointID = m.EndpointID
			}
			if published && inSync(policy, e, statuses) {
				z.ConfigSync = sluice.SyncInSync
			}
		}
		if z.Attachment != sluice.AttachmentReady {
			s.Status = sluice.FirewallProvisioning
		}
		if z.ConfigSync != sluice.SyncInSync {
			s.SyncSummary = sluice.SyncPending
		}
		s.Zones[m.AvailabilityZone] = z
	}
	if f.Deleting {
		s.Status = sluice.FirewallDeleting
	}
	return s
}

// endpointStatus finds what a host says of an endpoint.
func endpointStatus(statuses []sluice.AgentStatus, hostID, endpointID string) (e sluice.EndpointStatus, revision int64, ok bool) {
	for _, s := range statuses {
		if s.HostID != hostID {
			continue
		}
		for _, e := range s.Endpoints {
			if e.ID == endpointID {
				return e, s.Revision, true
			}
		}
	}
	return e, 0, false
}

// attachment tells how far the endpoint of a mapping is. A device that is missing
// does not hold it up, but all of them missing is an error: nothing is filtered.
func attachment(m sluice.SubnetMapping, e publishedEndpoint, published bool, statuses []sluice.AgentStatus) (status, message string) {
	if !published {
		return sluice.AttachmentCreating, ""
	}
	if len(e.Interfaces) == 0 {
		return sluice.AttachmentError, fmt.Sprintf("Subnet %s has no interface that carries firewalls", m.SubnetID)
	}
	status = sluice.AttachmentReady
	var missing []string
	for _, n := range e.Interfaces {
		s, _, ok := endpointStatus(statuses, n.HostID, e.ID)
		switch {
		case !ok:
			status = sluice.AttachmentCreating
		case s.Problem != "":
			return sluice.AttachmentError, s.Problem
		case slices.Contains(s.Missing, n.ID):
			missing = append(missing, n.Device)
		case !slices.Contains(s.Attached, n.ID):
			status = sluice.AttachmentCreating
		}
	}
	if len(missing) == len(e.Interfaces) {
		return sluice.AttachmentError, "No interface of the endpoint is there: " + strings.Join(missing, ", ")
	}
	return status, ""
}

// inSync tells whether all hosts of an endpoint enforce the policy as it is stored.
func inSync(policy sluice.FirewallPolicy, e publishedEndpoint, statuses []sluice.AgentStatus) bool {
	if e.Policy.PolicyArn != policy.Arn || e.Policy.Generation != policy.Generation || len(e.Interfaces) == 0 {
		return false
	}
	for _, n := range e.Interfaces {
		s, revision, ok := endpointStatus(statuses, n.HostID, e.ID)
		if !ok || revision < e.policySince || s.PolicyGeneration != policy.Generation {
			return false
		}
	}
	return true
}
