package main

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"
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
	exception := f.String("stream-exception", "reject", "drop, continue or reject: the stream exception `POLICY` of the policy that is made")
	zone := f.String("zone", "", "availability `ZONE` to look for the subnet in")
	f.Var(&subnets, "subnet", "`SUBNET` id or name, one for each zone, may be repeated (default: the only one of its zone)")
	description := f.String("description", "", "`TEXT` to keep with it")
	noWait := f.Bool("no-wait", false, "do not wait until it is ready")
	conn.register(f)
	f.empty = "description"
	f.notes = `Without --policy the policy NAME-policy is made: everything is forwarded to the
stateful engine, and streams without a flow are rejected with a TCP reset, as AWS
advises.
Warning: TCP connections that are open already when an endpoint is attached have no
flow, and meet the stream exception policy: reject resets them, drop lets them hang,
continue lets them go on and takes them up as flows. On a gateway in service begin
with --stream-exception continue, or with a policy that says CONTINUE, and change it
(update-firewall-policy) once sluice flow capture shows the old connections.`
	operands, err := f.parse(s, args, 1, 1)
	if err != nil {
		return err
	}
	if err := conn.check(f); err != nil {
		return err
	}
	named, err := streamException(f, *exception, *policy)
	if err != nil {
		return err
	}
	c, err := conn.client(ctx, s)
	if err != nil {
		return err
	}
	name := operands[0]
	p := startProgress(s.stderr, "making firewall "+name)
	d, err := createFirewall(ctx, s, c, firewallPlan{name: name, policy: *policy, exception: named, zone: *zone, subnets: subnets, description: *description, wait: !*noWait})
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
	exception                       types.StreamExceptionPolicy // of the policy to be made; "" is the advised one
	wait                            bool
}

// streamException reads --stream-exception; "" is that it was left out.
func streamException(f *flags, value, policy string) (types.StreamExceptionPolicy, error) {
	given := false
	f.Visit(func(fl *flag.Flag) { given = given || fl.Name == "stream-exception" })
	if !given {
		return "", nil
	}
	if policy != "" {
		return "", usagef(f.command, "--stream-exception is for a policy that is made: --policy %s has its own", policy)
	}
	exception := types.StreamExceptionPolicy(strings.ToUpper(value))
	if !slices.Contains(exception.Values(), exception) {
		return "", usagef(f.command, "--stream-exception %q: want drop, continue or reject", value)
	}
	return exception, nil
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
			if err := plan.checkException(name, out.FirewallPolicy); err != nil {
				return "", false, err
			}
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
		FirewallPolicy:     advisedPolicy(plan.exception),
	})
	if err != nil {
		return "", false, err
	}
	return aws.ToString(created.FirewallPolicyResponse.FirewallPolicyArn), true, nil
}

// checkException refuses a policy that was there before and handles streams
// without a flow otherwise than the command line asks.
func (p firewallPlan) checkException(name string, policy *types.FirewallPolicy) error {
	has := types.StreamExceptionPolicyDrop // where the policy names none
	if policy != nil && policy.StatefulEngineOptions != nil && policy.StatefulEngineOptions.StreamExceptionPolicy != "" {
		has = policy.StatefulEngineOptions.StreamExceptionPolicy
	}
	if p.exception == "" || p.exception == has {
		return nil
	}
	return fmt.Errorf("policy %s exists and its stream exception policy is %s, not %s: change it first, or name one with --policy", name, has, p.exception)
}

// advisedPolicy forwards everything to the stateful engine and, unless something
// else is asked for, rejects streams without a flow, which AWS advises in nearly
// all cases (Network Firewall Developer Guide, stream exception policy): a client
// that is told reconnects.
func advisedPolicy(exception types.StreamExceptionPolicy) *types.FirewallPolicy {
	if exception == "" {
		exception = types.StreamExceptionPolicyReject
	}
	return &types.FirewallPolicy{
		StatelessDefaultActions:         []string{sluice.ActionForwardToSFE},
		StatelessFragmentDefaultActions: []string{sluice.ActionForwardToSFE},
		StatefulEngineOptions: &types.StatefulEngineOptions{
			RuleOrder:             types.RuleOrderStrictOrder,
			StreamExceptionPolicy: exception,
		},
	}
}
