package main

import (
	"net/netip"

	"sluice"
	"sluice/control"
	"sluice/daemon"
)

// quotas are the limits of the configuration; 0 is the controller's default.
func quotas(l daemon.LimitsConfig) control.Quotas {
	return control.Quotas{
		Firewalls:        l.Firewalls,
		FirewallPolicies: l.FirewallPolicies,
		Mirror: sluice.MirrorQuotas{
			Filters: l.MirrorFilters, Targets: l.MirrorTargets, Sessions: l.MirrorSessions,
			RulesPerFilter: l.MirrorRulesPerFilter, SessionsPerSource: l.MirrorSessionsPerSource, SourcesPerTarget: l.MirrorSourcesPerTarget,
		},
		SecurityGroups: sluice.SecurityGroupQuotas{Groups: l.SecurityGroups, RulesPerGroup: l.SecurityGroupRules},
		Sandboxes:      sluice.SandboxQuotas{Sandboxes: l.Sandboxes, PerOwner: l.SandboxesPerOwner},
	}
}

// targetGroups are the groups of the configuration, each with its ARN.
func targetGroups(c daemon.Config) []sluice.TargetGroup {
	scope := sluice.Scope{Region: c.Region, AccountID: c.AccountID}
	var out []sluice.TargetGroup
	for _, g := range c.TargetGroups {
		arn := g.Arn
		if arn == "" {
			arn = scope.LoadBalancerARN(g.Name)
		}
		out = append(out, sluice.TargetGroup{Name: g.Name, Arn: arn, Members: g.Members})
	}
	return out
}

// resolvers are those of the configuration; nil leaves them to the controller, an
// empty list is none.
func resolvers(c daemon.Config) []netip.Addr {
	if c.Resolvers == nil {
		return nil
	}
	out := make([]netip.Addr, len(c.Resolvers))
	for i, s := range c.Resolvers {
		out[i] = netip.MustParseAddr(s) // checked with the configuration
	}
	return out
}
