package control

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"sluice"
)

// publication is what the agents were last told to keep true.
type publication struct {
	revision  int64 // 0 before the first
	number    int64 // of the publication: it shows the store as it was after that had begun
	endpoints map[string]publishedEndpoint
	// gone has the firewalls that are being deleted, with the first revision that
	// does not have their endpoints.
	gone map[string]int64 // by firewall id
	// sessions has the first revision that has each mirror session.
	sessions map[string]int64 // by session id
}

// publishedEndpoint is an endpoint as the agents were told of it.
type publishedEndpoint struct {
	sluice.Endpoint
	// policySince is the revision that first had this policy at this generation:
	// an agent's status of an older revision speaks of another one.
	policySince int64
}

// desiredEndpoints derives the endpoints of all firewalls that are not being
// deleted, the oldest firewall first: that is the order in which the programs of
// several firewalls on one interface see a packet.
func desiredEndpoints(firewalls []sluice.Firewall, policies []sluice.FirewallPolicy, inv sluice.Inventory) ([]sluice.Endpoint, error) {
	byArn := make(map[string]sluice.FirewallPolicy, len(policies))
	for _, p := range policies {
		byArn[p.Arn] = p
	}
	firewalls = slices.Clone(firewalls)
	slices.SortFunc(firewalls, func(a, b sluice.Firewall) int {
		if n := a.Created.Compare(b.Created); n != 0 {
			return n
		}
		return strings.Compare(a.Name, b.Name)
	})
	var out []sluice.Endpoint
	for _, f := range firewalls {
		if f.Deleting {
			continue
		}
		p, ok := byArn[f.PolicyArn]
		if !ok {
			return nil, fmt.Errorf("derive endpoints of firewall %s: policy %s is not there", f.Name, f.PolicyArn)
		}
		for _, m := range f.SubnetMappings {
			out = append(out, sluice.Endpoint{
				ID:           m.EndpointID,
				FirewallName: f.Name,
				FirewallArn:  f.Arn,
				Zone:         m.AvailabilityZone,
				Interfaces:   interfaceRefs(inv.FirewallInterfaces(m.SubnetID)),
				Policy:       endpointPolicy(p),
			})
		}
	}
	return out, nil
}

func interfaceRefs(interfaces []sluice.Interface) []sluice.InterfaceRef {
	refs := make([]sluice.InterfaceRef, len(interfaces))
	for i, n := range interfaces {
		refs[i] = sluice.InterfaceRef{ID: n.ID, HostID: n.HostID, Netns: n.Netns, Device: n.Device}
	}
	return refs
}

// endpointPolicy is what the data plane enforces of a policy. Without stateful
// rules nothing can pass a stateful default that drops, so traffic that would be
// forwarded to the stateful engine is dropped.
func endpointPolicy(p sluice.FirewallPolicy) sluice.EndpointPolicy {
	enforced := func(actions []string) string {
		a := standardAction(actions)
		if a == sluice.ActionForwardToSFE && dropsByDefault(p.Body) {
			return sluice.ActionDrop
		}
		return a
	}
	return sluice.EndpointPolicy{
		PolicyArn:        p.Arn,
		Generation:       p.Generation,
		StatelessDefault: enforced(p.Body.StatelessDefaultActions),
		FragmentDefault:  enforced(p.Body.StatelessFragmentDefaultActions),
		StreamException:  p.Body.StreamException(),
		TCPIdleTimeout:   p.Body.TCPIdleTimeout(),
	}
}

// publish gives the fleet the desired state when it has changed. It is called by
// the goroutine of Run alone.
func (c *Controller) publish(ctx context.Context) error {
	c.mu.Lock()
	c.begun++
	number := c.begun
	c.mu.Unlock()
	firewalls, err := c.o.Store.Firewalls(ctx)
	if err != nil {
		return err
	}
	policies, err := c.o.Store.FirewallPolicies(ctx)
	if err != nil {
		return err
	}
	inv := c.o.Inventory.Snapshot()
	endpoints, err := desiredEndpoints(firewalls, policies, inv)
	if err != nil {
		return err
	}
	mirrors, err := c.desiredMirrors(ctx, inv)
	if err != nil {
		return err
	}
	digest, err := digestOf(endpoints, mirrors)
	if err != nil {
		return err
	}
	revision, err := c.o.Store.DesiredRevision(ctx, digest)
	if err != nil {
		return err
	}
	c.mu.Lock()
	old := c.published
	c.published = nextPublication(old, revision, endpoints, firewalls, mirrors)
	c.published.number = number
	c.mu.Unlock()
	if revision != old.revision {
		c.o.Fleet.SetDesired(sluice.DesiredState{Revision: revision, Endpoints: endpoints, Mirrors: mirrors})
	}
	return nil
}

func digestOf(endpoints []sluice.Endpoint, mirrors []sluice.MirrorSource) (string, error) {
	var state any = endpoints
	if len(mirrors) > 0 {
		state = []any{endpoints, mirrors}
	}
	b, err := json.Marshal(state)
	if err != nil {
		return "", fmt.Errorf("encode desired state: %w", err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

// nextPublication is what is published once endpoints are, at a revision.
func nextPublication(old publication, revision int64, endpoints []sluice.Endpoint, firewalls []sluice.Firewall, mirrors []sluice.MirrorSource) publication {
	next := publication{
		revision:  revision,
		endpoints: make(map[string]publishedEndpoint, len(endpoints)),
		gone:      map[string]int64{},
		sessions:  map[string]int64{},
	}
	for _, m := range mirrors {
		for _, s := range m.Sessions {
			since, ok := old.sessions[s.ID]
			if !ok {
				since = revision
			}
			next.sessions[s.ID] = since
		}
	}
	for _, e := range endpoints {
		was, ok := old.endpoints[e.ID]
		p := publishedEndpoint{Endpoint: e, policySince: revision}
		if ok && was.Policy.PolicyArn == e.Policy.PolicyArn && was.Policy.Generation == e.Policy.Generation {
			p.policySince = was.policySince
		}
		next.endpoints[e.ID] = p
	}
	for _, f := range firewalls {
		if !f.Deleting {
			continue
		}
		since, ok := old.gone[f.ID]
		if !ok {
			since = revision
		}
		next.gone[f.ID] = since
	}
	return next
}

// released tells whether no agent has an endpoint of a firewall any more, and
// none is about to build one.
func released(f sluice.Firewall, p publication, statuses []sluice.AgentStatus) bool {
	since, ok := p.gone[f.ID]
	if !ok {
		return false
	}
	for _, s := range statuses {
		if s.Revision < since {
			return false
		}
		for _, e := range s.Endpoints {
			if slices.ContainsFunc(f.SubnetMappings, func(m sluice.SubnetMapping) bool { return m.EndpointID == e.ID }) {
				return false
			}
		}
	}
	return true
}

// removeReleased removes the firewalls that are being deleted and that neither an
// agent nor a flow operation holds any more.
func (c *Controller) removeReleased(ctx context.Context) error {
	firewalls, err := c.o.Store.Firewalls(ctx)
	if err != nil {
		return err
	}
	statuses := c.o.Fleet.Statuses()
	for _, f := range firewalls {
		c.mu.Lock()
		free := f.Deleting && released(f, c.published, statuses) && !c.runs(f.ID)
		c.mu.Unlock()
		if !free {
			continue
		}
		ids, err := c.o.Store.RemoveFirewall(ctx, f.Name, f.ID)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if err := c.o.Results.Delete(id); err != nil {
				return err
			}
		}
	}
	return nil
}
