package main

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/networkfirewall"
)

func firewallDelete(ctx context.Context, s *shell, args []string) error {
	f := newFlags("sluice firewall delete", "NAME|ARN", "Removes a firewall, and waits until packets no longer meet it.")
	var conn connection
	withPolicy := f.Bool("with-policy", false, "remove its policy too")
	conn.register(f)
	operands, err := f.parse(s, args, 1, 1)
	if err != nil {
		return err
	}
	if err := conn.check(f); err != nil {
		return err
	}
	c, err := conn.client(ctx, s)
	if err != nil {
		return err
	}
	p := startProgress(s.stderr, "removing firewall "+nameOfARN(operands[0]))
	policyArn, err := deleteFirewall(ctx, c, operands[0], *withPolicy)
	p.done()
	if err != nil {
		return err
	}
	if conn.json() {
		return writeJSON(s.stdout, map[string]any{"Firewall": nameOfARN(operands[0]), "FirewallPolicyArn": policyArn, "FirewallPolicyDeleted": *withPolicy})
	}
	fmt.Fprintf(s.stdout, "firewall %s is gone\n", nameOfARN(operands[0]))
	if *withPolicy {
		fmt.Fprintf(s.stdout, "policy %s is gone\n", nameOfARN(policyArn))
	}
	return nil
}

// deleteFirewall removes a firewall and waits for it; it returns its policy.
func deleteFirewall(ctx context.Context, c *apiClient, nameOrArn string, withPolicy bool) (policyArn string, err error) {
	d, err := findFirewall(ctx, c, nameOrArn)
	if err != nil {
		return "", err
	}
	policyArn = aws.ToString(d.Firewall.FirewallPolicyArn)
	arn := d.Firewall.FirewallArn
	if _, err := c.DeleteFirewall(ctx, &networkfirewall.DeleteFirewallInput{FirewallArn: arn}); err != nil {
		return policyArn, err
	}
	if err := awaitGone(ctx, c, aws.ToString(arn)); err != nil {
		return policyArn, err
	}
	if !withPolicy {
		return policyArn, nil
	}
	_, err = c.DeleteFirewallPolicy(ctx, &networkfirewall.DeleteFirewallPolicyInput{FirewallPolicyArn: aws.String(policyArn)})
	return policyArn, err
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
