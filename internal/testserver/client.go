package testserver

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	nfw "github.com/aws/aws-sdk-go-v2/service/networkfirewall"
	"github.com/aws/aws-sdk-go-v2/service/networkfirewall/types"

	"sluice/internal/sdkhttp"
)

// Environ is the environment of a stock client: the caller's own, without any AWS
// settings, and the two variables that `sluice env` prints.
func (s *Server) Environ() []string {
	state := filepath.Join(s.options.Dir, "state", "aws")
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + s.options.Dir, "LANG=C.UTF-8",
		"AWS_SHARED_CREDENTIALS_FILE=" + filepath.Join(state, "credentials"),
		"AWS_CONFIG_FILE=" + filepath.Join(state, "config"),
	}
}

// AWSConfig reads the files that the server wrote, as the SDK does by itself.
func (s *Server) AWSConfig(ctx context.Context) (aws.Config, error) {
	state := filepath.Join(s.options.Dir, "state", "aws")
	cfg, err := config.LoadDefaultConfig(ctx,
		config.WithSharedCredentialsFiles([]string{filepath.Join(state, "credentials")}),
		config.WithSharedConfigFiles([]string{filepath.Join(state, "config")}))
	if err != nil {
		return cfg, fmt.Errorf("load client configuration: %w", err)
	}
	cfg.HTTPClient = sdkhttp.Client{}
	return cfg, nil
}

// Client is a stock Network Firewall client of the server.
func (s *Server) Client(ctx context.Context) (*nfw.Client, error) {
	cfg, err := s.AWSConfig(ctx)
	if err != nil {
		return nil, err
	}
	return nfw.NewFromConfig(cfg), nil
}

// Policy makes a policy that forwards everything to the stateful engine.
func Policy(ctx context.Context, c *nfw.Client, name string, exception types.StreamExceptionPolicy) (arn string, err error) {
	out, err := c.CreateFirewallPolicy(ctx, &nfw.CreateFirewallPolicyInput{
		FirewallPolicyName: &name,
		FirewallPolicy: &types.FirewallPolicy{
			StatelessDefaultActions:         []string{"aws:forward_to_sfe"},
			StatelessFragmentDefaultActions: []string{"aws:forward_to_sfe"},
			StatefulEngineOptions:           &types.StatefulEngineOptions{StreamExceptionPolicy: exception},
		},
	})
	if err != nil {
		return "", err
	}
	return *out.FirewallPolicyResponse.FirewallPolicyArn, nil
}

// Firewall makes a firewall in the subnets and waits until it is READY.
func Firewall(ctx context.Context, c *nfw.Client, name, policyArn, vpcID string, subnetIDs ...string) (arn string, err error) {
	in := &nfw.CreateFirewallInput{FirewallName: &name, FirewallPolicyArn: &policyArn, VpcId: &vpcID}
	for _, id := range subnetIDs {
		in.SubnetMappings = append(in.SubnetMappings, types.SubnetMapping{SubnetId: aws.String(id)})
	}
	out, err := c.CreateFirewall(ctx, in)
	if err != nil {
		return "", err
	}
	err = await(ctx, func() (bool, error) {
		d, err := c.DescribeFirewall(ctx, &nfw.DescribeFirewallInput{FirewallName: &name})
		return err == nil && d.FirewallStatus.Status == types.FirewallStatusValueReady, err
	})
	if err != nil {
		return "", fmt.Errorf("wait for firewall %s: %w", name, err)
	}
	return *out.Firewall.FirewallArn, nil
}

// Finish waits for a flow operation to end and returns how.
func Finish(ctx context.Context, c *nfw.Client, firewallArn, operationID string) (*nfw.DescribeFlowOperationOutput, error) {
	var last *nfw.DescribeFlowOperationOutput
	err := await(ctx, func() (bool, error) {
		var err error
		last, err = c.DescribeFlowOperation(ctx, &nfw.DescribeFlowOperationInput{FirewallArn: &firewallArn, FlowOperationId: &operationID})
		return err == nil && last.FlowOperationStatus != types.FlowOperationStatusInProgress, err
	})
	return last, err
}

// Rows reads all results of an operation through the SDK's paginator.
func Rows(ctx context.Context, c *nfw.Client, firewallArn, operationID string) ([]types.Flow, error) {
	var rows []types.Flow
	p := nfw.NewListFlowOperationResultsPaginator(c, &nfw.ListFlowOperationResultsInput{
		FirewallArn: &firewallArn, FlowOperationId: &operationID, MaxResults: aws.Int32(100),
	})
	for p.HasMorePages() {
		page, err := p.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		rows = append(rows, page.Flows...)
	}
	return rows, nil
}

// await asks until the answer is yes.
func await(ctx context.Context, ask func() (bool, error)) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := ask(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
