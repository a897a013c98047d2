package cloudshell

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"sluice/control"
)

func setAppSecurityGroups(ctx context.Context, d *Door, c *call) (*info, error) {
	var groups []control.AppSecurityGroups
	for _, e := range c.params.list("securityGroups") {
		group := control.AppSecurityGroups{App: e.value("Name")}
		if group.App == "" {
			return nil, faultf(control.SandboxErrorGeneral, "SecurityGroup: Name must be a string, and not empty")
		}
		for _, config := range e.list("SecurityGroupsConfigurations") {
			subnet := control.AppSubnetRules{SubnetID: config.value("SubnetId")}
			for _, rule := range config.list("Rules") {
				r, err := appSecurityRule(rule)
				if err != nil {
					return nil, err
				}
				subnet.Rules = append(subnet.Rules, r)
			}
			group.Subnets = append(group.Subnets, subnet)
		}
		groups = append(groups, group)
	}
	if len(groups) == 0 {
		return nil, faultf(control.SandboxErrorGeneral, "securityGroups names no App")
	}
	results, err := d.Backend.SetAppSecurityGroups(ctx, c.user, c.sandboxID(), groups)
	if err != nil {
		return nil, err
	}
	if c.printsOutput() {
		d.print(ctx, c, c.sandboxID(), "SetAppSecurityGroups: "+securityResponse(results))
	}
	i := newInfo("SetSecurityGroupsInfo")
	i.list("ResultItems", len(results), func(k int) {
		i.empty("SetSecurityGroupInfo", "AppName", results[k].App, "Success", strconv.FormatBool(results[k].Success), "Error", results[k].Error)
	})
	return i, nil
}

// securityResponse writes results as the driver prints them.
func securityResponse(results []control.AppSecurityResult) string {
	var parts []string
	for _, r := range results {
		parts = append(parts, fmt.Sprintf(`{"appName": %s, "success": %t, "error": %s}`, quoteASCII(r.App), r.Success, quoteASCII(r.Error)))
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// appSecurityRule reads a rule. Python's client sends numbers as text of the rule
// itself, so that all but one of them are lost: there is nothing left to guess from.
func appSecurityRule(e *element) (control.AppSecurityRule, error) {
	var none control.AppSecurityRule
	if e.stray() != "" {
		return none, faultf(control.SandboxErrorGeneral, "SecurityGroupRule: FromPort and ToPort must be strings, such as '4789', and not numbers")
	}
	r := control.AppSecurityRule{FromPort: e.value("FromPort"), ToPort: e.value("ToPort"), Protocol: e.value("Protocol"), Source: e.value("Source")}
	for _, field := range []struct{ name, value string }{
		{"FromPort", r.FromPort}, {"ToPort", r.ToPort}, {"Protocol", r.Protocol}, {"Source", r.Source},
	} {
		if strings.TrimSpace(field.value) == "" {
			return none, faultf(control.SandboxErrorGeneral, "SecurityGroupRule: %s is missing", field.name)
		}
	}
	return r, nil
}
