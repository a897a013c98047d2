package daemon

import (
	"fmt"
	"net/netip"
	"regexp"
)

var (
	targetGroupPattern  = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?$`)
	loadBalancerPattern = regexp.MustCompile(`^arn:aws[a-z-]*:elasticloadbalancing:[a-z0-9-]+:[0-9]{12}:loadbalancer/net/[A-Za-z0-9-]{1,32}/[0-9a-f]{16}$`)
	interfacePattern    = regexp.MustCompile(`^eni-([0-9a-f]{8}|[0-9a-f]{17})$`)
)

// What the data plane has room for: per filter, even when all rules are of one
// direction, per source, and per session.
const (
	maxMirrorRules    = 64
	maxMirrorSessions = 3
	maxGroupMembers   = 16
	maxResolvers      = 8
)

const maxMirrorObjects = 100_000

// validateMirroring checks what mirroring needs of the configuration.
func (c *Config) validateMirroring(d *configDecoder) {
	for _, limit := range []struct {
		key  string
		n    int
		most int64
	}{
		{"mirror_filters", c.Limits.MirrorFilters, maxMirrorObjects},
		{"mirror_targets", c.Limits.MirrorTargets, maxMirrorObjects},
		{"mirror_sessions", c.Limits.MirrorSessions, maxMirrorObjects},
		{"mirror_rules_per_filter", c.Limits.MirrorRulesPerFilter, maxMirrorRules},
		{"mirror_sessions_per_source", c.Limits.MirrorSessionsPerSource, maxMirrorSessions},
		{"mirror_sources_per_target", c.Limits.MirrorSourcesPerTarget, maxMirrorObjects},
		{"security_groups", c.Limits.SecurityGroups, maxMirrorObjects},
		{"security_group_rules", c.Limits.SecurityGroupRules, 1000},
	} {
		requireRange(d, "limits."+limit.key, int64(limit.n), 0, limit.most)
	}
	requireRange(d, "mirroring.cpu_percent", int64(c.Mirroring.CPUPercent), 1, 100)
	requireRange(d, "mirroring.truncated_cpu_percent", int64(c.Mirroring.TruncatedCPUPercent), 1, 100)
	if len(c.Resolvers) > maxResolvers {
		d.problem("resolvers", "%d addresses, want at most %d", len(c.Resolvers), maxResolvers)
	}
	for i, s := range c.Resolvers {
		if _, err := netip.ParseAddr(s); err != nil {
			d.problem(fmt.Sprintf("resolvers[%d]", i), "%q is not an IP address", s)
		}
	}
	names, arns := map[string]int{}, map[string]int{}
	for i, g := range c.TargetGroups {
		path := fmt.Sprintf("target_groups[%d]", i)
		if !targetGroupPattern.MatchString(g.Name) {
			d.problem(path+".name", "%q is not 1 to 32 letters, digits and hyphens", g.Name)
		}
		if j, again := names[g.Name]; again {
			d.problem(path+".name", "the same name as target_groups[%d]", j)
		}
		names[g.Name] = i
		if g.Arn != "" {
			if !loadBalancerPattern.MatchString(g.Arn) {
				d.problem(path+".arn", "%q is not the ARN of a network load balancer", g.Arn)
			}
			if j, again := arns[g.Arn]; again {
				d.problem(path+".arn", "the same ARN as target_groups[%d]", j)
			}
			arns[g.Arn] = i
		}
		if len(g.Members) == 0 || len(g.Members) > maxGroupMembers {
			d.problem(path+".members", "%d members, want 1 to %d", len(g.Members), maxGroupMembers)
		}
		for k, m := range g.Members {
			a, err := netip.ParseAddr(m)
			if !interfacePattern.MatchString(m) && (err != nil || a.Zone() != "" || !a.IsGlobalUnicast()) {
				d.problem(fmt.Sprintf("%s.members[%d]", path, k), "%q is neither an interface id (eni-…) nor an IP address", m)
			}
		}
	}
}
