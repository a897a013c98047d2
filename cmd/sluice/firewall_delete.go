package main

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/networkfirewall"
)

func firewallDelete(ctx context.Context, s *shell, args []string) error {
	return deletion{
		command: "sluice firewall delete", operands: "NAME|ARN", about: "Removes a firewall, and waits until packets no longer meet it.",
		with: "with-policy", withUsage: "remove its policy too",
		remove: func(ctx context.Context, c *apiClient, name string, withPolicy bool) (any, []string, error) {
			policyArn, gone, err := deleteFirewall(ctx, c, name, withPolicy)
			return map[string]any{"Firewall": nameOfARN(name), "FirewallPolicyArn": policyArn, "FirewallPolicyDeleted": withPolicy}, gone, err
		},
	}.run(ctx, s, args)
}

// deleteFirewall removes a firewall and waits for it; it returns its policy, and what
// is gone, also with an error.
func deleteFirewall(ctx context.Context, c *apiClient, nameOrArn string, withPolicy bool) (policyArn string, gone []string, err error) {
	d, err := findFirewall(ctx, c, nameOrArn)
	if err != nil {
		return "", nil, err
	}
	policyArn = aws.ToString(d.Firewall.FirewallPolicyArn)
	arn := d.Firewall.FirewallArn
	if _, err := c.DeleteFirewall(ctx, &networkfirewall.DeleteFirewallInput{FirewallArn: arn}); err != nil {
		return policyArn, nil, err
	}
	if err := awaitGone(ctx, c, aws.ToString(arn)); err != nil {
		return policyArn, nil, err
	}
	gone = []string{"firewall " + nameOfARN(nameOrArn)}
	if !withPolicy {
		return policyArn, gone, nil
	}
	if _, err := c.DeleteFirewallPolicy(ctx, &networkfirewall.DeleteFirewallPolicyInput{FirewallPolicyArn: aws.String(policyArn)}); err != nil {
		return policyArn, gone, err
	}
	return policyArn, append(gone, "policy "+nameOfARN(policyArn)), nil
}

func awaitGone(ctx context.Context, c *apiClient, arn string) error {
	deadline := time.Now().Add(firewallWait)
	for {
		_, err := describeFirewall(ctx, c, arn)
		if isCode(err, "ResourceNotFoundException") {
			return nil
		}
		if err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("firewall %s is still being deleted after %s", nameOfARN(arn), firewallWait)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pollInterval):
		}
	}
}
