package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/networkfirewall"
	"github.com/aws/aws-sdk-go-v2/service/networkfirewall/types"

	"sluice"
)

// isARN tells whether a NAME|ARN on the command line is an ARN; a name has no
// colon.
func isARN(s string) bool { return strings.HasPrefix(s, "arn:") }

// nameOfARN returns the last part of an ARN, and s itself if it is none.
func nameOfARN(s string) string {
	a, err := sluice.ParseARN(s)
	if err != nil {
		return s
	}
	return a.Name
}

// nameOrARN splits a NAME|ARN into the two members of a selector.
func nameOrARN(s string) (name, arn *string) {
	if isARN(s) {
		return nil, aws.String(s)
	}
	return aws.String(s), nil
}

func listFirewalls(ctx context.Context, c *apiClient) ([]types.FirewallMetadata, error) {
	var all []types.FirewallMetadata
	pages := networkfirewall.NewListFirewallsPaginator(c, &networkfirewall.ListFirewallsInput{MaxResults: aws.Int32(100)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Firewalls...)
	}
	return all, nil
}

// describedFirewall is DescribeFirewall's answer, as JSON in AWS's shape.
type describedFirewall struct {
	UpdateToken    string
	Firewall       *types.Firewall
	FirewallStatus *types.FirewallStatus
}

func describeFirewall(ctx context.Context, c *apiClient, nameOrArn string) (describedFirewall, error) {
	name, arn := nameOrARN(nameOrArn)
	out, err := c.DescribeFirewall(ctx, &networkfirewall.DescribeFirewallInput{FirewallName: name, FirewallArn: arn})
	if err != nil {
		return describedFirewall{}, err
	}
	return describedFirewall{aws.ToString(out.UpdateToken), out.Firewall, out.FirewallStatus}, nil
}

// ready tells whether packets meet the firewall and its policy as described.
func (d describedFirewall) ready() bool {
	return d.FirewallStatus.Status == types.FirewallStatusValueReady &&
		d.FirewallStatus.ConfigurationSyncStateSummary == types.ConfigurationSyncStateInSync
}

// zones returns the zones of the firewall, sorted.
func (d describedFirewall) zones() []string {
	return slices.Sorted(maps.Keys(d.FirewallStatus.SyncStates))
}

// problem is what a zone says of an attachment that can't be made.
func (d describedFirewall) problem() string {
	for _, zone := range d.zones() {
		a := d.FirewallStatus.SyncStates[zone].Attachment
		if a == nil {
			continue
		}
		if a.Status == types.AttachmentStatusError || a.Status == types.AttachmentStatusFailed {
			return fmt.Sprintf("%s: %s: %s", zone, a.Status, aws.ToString(a.StatusMessage))
		}
	}
	return ""
}

// awaitFirewall waits until a firewall is ready, for as long as wait.
func awaitFirewall(ctx context.Context, c *apiClient, nameOrArn string, wait time.Duration) (describedFirewall, error) {
	deadline := time.Now().Add(wait)
	for {
		d, err := describeFirewall(ctx, c, nameOrArn)
		if err != nil || d.ready() {
			return d, err
		}
		if time.Now().After(deadline) {
			if p := d.problem(); p != "" {
				return d, fmt.Errorf("firewall %s is not ready: %s", nameOfARN(nameOrArn), p)
			}
			return d, fmt.Errorf("firewall %s is %s, %s after %s", nameOfARN(nameOrArn),
				d.FirewallStatus.Status, d.FirewallStatus.ConfigurationSyncStateSummary, wait)
		}
		select {
		case <-ctx.Done():
			return d, ctx.Err()
		case <-time.After(pollInterval):
		}
	}
}

// statusText is the status for people: READY, or what is still missing.
func (d describedFirewall) statusText() string {
	status := string(d.FirewallStatus.Status)
	if d.FirewallStatus.Status == types.FirewallStatusValueReady && !d.ready() {
		status += " (" + string(d.FirewallStatus.ConfigurationSyncStateSummary) + ")"
	}
	return status
}
