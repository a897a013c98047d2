package control

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"sluice"
)

// The bounds of Apps' own rules: those of one request, and of all interfaces of a
// sandbox. They keep it within one record of the store.
const (
	maxAppGroups    = 256
	maxSandboxRules = 500
)

// errAppRefused ends an update that an App's rules bar.
var errAppRefused = errors.New("an App is refused")

// SetAppSecurityGroups replaces the inbound rules of Apps' interfaces, subnet by subnet;
// an empty list clears them. What else lets traffic in stays. All Apps get their rules,
// or none does: the results say why.
func (c *Controller) SetAppSecurityGroups(ctx context.Context, u SandboxUser, id string, groups []AppSecurityGroups) ([]AppSecurityResult, error) {
	if len(groups) > maxAppGroups {
		return nil, SandboxErrorf(SandboxErrorGeneral, "A request sets the rules of at most %d Apps; this one has %d.", maxAppGroups, len(groups))
	}
	results := make([]AppSecurityResult, len(groups))
	_, err := c.updateSandbox(ctx, u, id, func(b sluice.Sandbox) (sluice.Sandbox, error) {
		var refused bool
		for i, g := range groups {
			results[i] = AppSecurityResult{App: g.App, Success: true}
			changed, err := c.setAppRules(b, g)
			if err != nil {
				results[i], refused = appRefused(g.App, err.Error()), true
				continue
			}
			b = changed
		}
		if !refused {
			return b, nil
		}
		for i, r := range results {
			if r.Success {
				results[i] = appRefused(r.App, "nothing is set, as another App of the request is refused")
			}
		}
		return b, errAppRefused
	})
	if err != nil && !errors.Is(err, errAppRefused) {
		return nil, err
	}
	return results, nil
}

func appRefused(app, why string) AppSecurityResult {
	return AppSecurityResult{App: app, Error: "Setting custom app security rules failed for '" + app + "' with error '" + why + "'."}
}

// setAppRules returns a sandbox in which an App has the rules.
func (c *Controller) setAppRules(b sluice.Sandbox, g AppSecurityGroups) (sluice.Sandbox, error) {
	at := slices.IndexFunc(b.Members, func(m sluice.SandboxMember) bool { return strings.EqualFold(m.Name, g.App) })
	if at < 0 {
		return b, SandboxErrorf(SandboxErrorNotFound, "App '%.100s' is not in reservation %s", g.App, b.ID)
	}
	b.Members = slices.Clone(b.Members)
	m := &b.Members[at]
	m.Custom = maps.Clone(m.Custom)
	if m.Custom == nil {
		m.Custom = map[string][]sluice.SecurityGroupRule{}
	}
	inv := c.o.Inventory.Snapshot()
	for _, s := range g.Subnets {
		if n, limit := len(s.Rules), c.o.Quotas.SecurityGroups.RulesPerGroup; n > limit {
			return b, SandboxErrorf(SandboxErrorGeneral, "%d rules in subnet %.100s, at most %d fit", n, s.SubnetID, limit)
		}
		var rules []sluice.SecurityGroupRule
		for _, r := range s.Rules {
			parsed, err := r.parse()
			if err != nil {
				return b, err
			}
			rules = append(rules, parsed)
		}
		found := false
		for _, n := range inv.Interfaces {
			if n.InstanceID == m.InstanceID && n.SubnetID == s.SubnetID {
				m.Custom[n.ID], found = rules, true
			}
		}
		if !found {
			return b, SandboxErrorf(SandboxErrorGeneral, "the App has no network interface in subnet '%.100s'", s.SubnetID)
		}
	}
	total := 0
	for _, m := range b.Members {
		for _, rules := range m.Custom {
			total += len(rules)
		}
	}
	if total > maxSandboxRules {
		return b, SandboxErrorf(SandboxErrorGeneral, "the network interfaces of the reservation would have %d rules, at most %d fit", total, maxSandboxRules)
	}
	return b, nil
}

// parse reads a rule as the EC2 API would take it.
func (r AppSecurityRule) parse() (sluice.SecurityGroupRule, error) {
	p := IPPermission{Protocol: strings.TrimSpace(r.Protocol)}
	for _, port := range []struct {
		name, text string
		into       **int32
	}{{"FromPort", r.FromPort, &p.FromPort}, {"ToPort", r.ToPort, &p.ToPort}} {
		text := strings.TrimSpace(port.text)
		if text == "" {
			continue
		}
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return sluice.SecurityGroupRule{}, sluice.InvalidValue(port.name, port.text, "Expecting a port.")
		}
		*port.into = new(int32(n))
	}
	parsed, err := p.rule()
	if err != nil {
		return parsed, err
	}
	parsed.CIDR, err = parseCIDR("Source", strings.TrimSpace(r.Source))
	return parsed, err
}
