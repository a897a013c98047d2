package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/networkfirewall/types"
)

// maxNamed bounds how many firewalls an error names.
const maxNamed = 20

// errNoFirewall is the error of a server without any.
var errNoFirewall = errors.New("there is no firewall yet: make one with sluice firewall create NAME")

// resolveFirewall describes the firewall that --firewall names, or the only one
// there is.
func resolveFirewall(ctx context.Context, c *apiClient, nameOrArn string) (describedFirewall, error) {
	if nameOrArn != "" {
		return findFirewall(ctx, c, nameOrArn)
	}
	all, err := listFirewalls(ctx, c)
	if err != nil {
		return describedFirewall{}, err
	}
	switch len(all) {
	case 0:
		return describedFirewall{}, errNoFirewall
	case 1:
		return describeFirewall(ctx, c, aws.ToString(all[0].FirewallArn))
	}
	return describedFirewall{}, fmt.Errorf("there are several firewalls, say which:%s", firewallNames(all))
}

// findFirewall describes the firewall of a name or an ARN. Where there is none, or
// none could have such a name, the error names those that there are.
func findFirewall(ctx context.Context, c *apiClient, nameOrArn string) (describedFirewall, error) {
	d, err := describeFirewall(ctx, c, nameOrArn)
	if !isCode(err, "ResourceNotFoundException") && !isCode(err, "ValidationException") {
		return d, err
	}
	all, err := listFirewalls(ctx, c)
	if err != nil {
		return describedFirewall{}, err
	}
	if len(all) == 0 {
		return describedFirewall{}, errNoFirewall
	}
	return describedFirewall{}, fmt.Errorf("there is no firewall %s; there are:%s", nameOrArn, firewallNames(all))
}

// firewallNames writes names, each after a space.
func firewallNames(all []types.FirewallMetadata) string {
	text := ""
	for i, f := range all {
		if i == maxNamed {
			return text + fmt.Sprintf(" and %d more", len(all)-maxNamed)
		}
		text += " " + aws.ToString(f.FirewallName)
	}
	return text
}
