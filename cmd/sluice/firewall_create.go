package main

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/networkfirewall"
	"github.com/aws/aws-sdk-go-v2/service/networkfirewall/types"

	"sluice"
)

// firewallWait is how long create and delete wait: agents need milliseconds, so
// that ten seconds without an answer mean a problem worth an error.
const firewallWait = 10 * time.Second

func firewallCreate(ctx context.Context, s *shell, args []string) error {
	f := newFlags("sluice firewall create", "NAME", "Makes a firewall: one endpoint in each subnet named. Waits until packets meet it.")
	var conn connection
	var subnets stringList
	policy := f.String("policy", "", "`NAME` or ARN of its firewall policy (default: one is made, see below)")
	zone := f.String("zone", "", "availability `ZONE` to look for the subnet in")
	f.Var(&subnets, "subnet", "`SUBNET` id or name, one for each zone, may be repeated (default: the only one of its zone)")
	description := f.String("description", "", "`TEXT` to keep with it")
	noWait := f.Bool("no-wait", false, "do not wait until it is ready")
	conn.register(f)
	f.empty = "description"
	f.notes = `Without --policy the policy NAME-policy is made: everything is forwarded to the
stateful engine, and streams without a flow are rejected with a TCP reset, as AWS
advises.`
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
	name := operands[0]
	p := startProgress(s.stderr, "making firewall "+name)
	d, err := createFirewall(ctx, s, c, firewallPlan{name: name, policy: *policy, zone: *zone, subnets: subnets, description: *description, wait: !*noWait})
	p.done()
	if err != nil {
		return err
	}
	return d.print(s, &conn)
}

// firewallPlan is the command line of firewall create.
type firewallPlan struct {
	name, policy, zone, description string
	subnets                         []string
	wait                            bool
}

func createFirewall(ctx context.Context, s *shell, c *apiClient, plan firewallPlan) (describedFirewall, error) {
	all, err := describeSubnets(ctx, c.config)
	if err != nil {
		return describedFirewall{}, err
	}
	chosen, err := chooseSubnets(all, plan.subnets, plan.zone)
	if err != nil {
		return describedFirewall{}, err
	}
	policyArn, made, err := policyFor(ctx, s, c, plan)
	if err != nil {
		return describedFirewall{}, err
	}
	in := &networkfirewall.CreateFirewallInput{FirewallName: aws.String(plan.name), FirewallPolicyArn: aws.String(policyArn), VpcId: aws.String(chosen[0].VpcID)}
	if plan.description != "" {
		in.Description = aws.String(plan.description)
	}
	for _, subnet := range chosen {
		in.SubnetMappings = append(in.SubnetMappings, types.SubnetMapping{SubnetId: aws.String(subnet.ID)})
	}
	if _, err := c.CreateFirewall(ctx, in); err != nil {
		if made {
			_, undoErr := c.DeleteFirewallPolicy(ctx, &networkfirewall.DeleteFirewallPolicyInput{FirewallPolicyArn: aws.String(policyArn)})
			if undoErr != nil {
				fmt.Fprintf(s.stderr, "policy %s is left over: %s\n", nameOfARN(policyArn), describeError(undoErr))
			}
		}
		return describedFirewall{}, err
	}
	if !plan.wait {
		return describeFirewall(ctx, c, plan.name)
	}
	return awaitFirewall(ctx, c, plan.name, firewallWait)
}

// policyFor returns the ARN of the policy that the plan names, or of one made for
// this firewall. One of that name that is there already is taken, and said so.
func policyFor(ctx context.Context, s *shell, c *apiClient, plan firewallPlan) (arn string, made bool, err error) {
	if isARN(plan.policy) {
		return plan.policy, false, nil
	}
	name := plan.policy
	if name == "" {
		name = plan.name + "-policy"
	}
	out, err := c.DescribeFirewallPolicy(ctx, &networkfirewall.DescribeFirewallPolicyInput{FirewallPolicyName: aws.String(name)})
	if err == nil {
		if plan.policy == "" {
			fmt.Fprintf(s.stderr, "takes policy %s, which exists\n", name)
		}
		return aws.ToString(out.FirewallPolicyResponse.FirewallPolicyArn), false, nil
	}
	if plan.policy != "" || !isCode(err, "ResourceNotFoundException") {
		return "", false, err
	}
	created, err := c.CreateFirewallPolicy(ctx, &networkfirewall.CreateFirewallPolicyInput{
		FirewallPolicyName: aws.String(name),
		Description:        aws.String("Made for firewall " + plan.name),
		FirewallPolicy:     advisedPolicy(),
	})
	if err != nil {
		return "", false, err
	}
	return aws.ToString(created.FirewallPolicyResponse.FirewallPolicyArn), true, nil
}

// advisedPolicy forwards everything to the stateful engine and rejects streams
// without a flow, which AWS advises in nearly all cases (Network Firewall
// Developer Guide, stream exception policy): a client that is told reconnects.
func advisedPolicy() *types.FirewallPolicy {
	return &types.FirewallPolicy{
		StatelessDefaultActions:         []string{sluice.ActionForwardToSFE},
		StatelessFragmentDefaultActions: []string{sluice.ActionForwardToSFE},
		StatefulEngineOptions: &types.StatefulEngineOptions{
			RuleOrder:             types.RuleOrderStrictOrder,
			StreamExceptionPolicy: types.StreamExceptionPolicyReject,
		},
	}
}
