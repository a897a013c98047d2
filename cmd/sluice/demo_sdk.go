package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/networkfirewall"
	"github.com/aws/aws-sdk-go-v2/service/networkfirewall/types"

	"sluice"
	"sluice/internal/testnet"
)

// captureBySDK makes the mission's call with every member, through the stock AWS
// SDK, and reads the flows back with its paginator.
func (d *demoRun) captureBySDK(ctx context.Context) error {
	d.story.begin("The same through the API, with the stock aws-sdk-go-v2")
	const minimumAge = 1
	hosts := d.config.Network.Hosts()
	in := &networkfirewall.StartFlowCaptureInput{
		FirewallArn:             aws.String(d.arn),
		AvailabilityZone:        aws.String(d.zone),
		MinimumFlowAgeInSeconds: aws.Int32(minimumAge),
		FlowFilters: []types.FlowFilter{{
			SourceAddress:      &types.Address{AddressDefinition: aws.String("10.77.1.0/24")},
			DestinationAddress: &types.Address{AddressDefinition: aws.String(hosts[1].IPv4.String() + "/32")},
			SourcePort:         aws.String("1024:65535"),
			DestinationPort:    aws.String("8000:8100"),
			Protocols:          []string{"6"},
		}, {
			SourceAddress:      &types.Address{AddressDefinition: aws.String("fd77:1::/64")},
			DestinationAddress: &types.Address{AddressDefinition: aws.String(hosts[1].IPv6.String() + "/128")},
			SourcePort:         aws.String("ANY"),
			DestinationPort:    aws.String("ANY"),
			Protocols:          []string{"6", "17", "58"},
		}},
	}
	expected := slices.DeleteFunc(slices.Clone(d.held), func(t *talk) bool {
		v4 := t.tuple.Source.Is4()
		return v4 && (t.tuple.Protocol != sluice.ProtocolTCP || t.tuple.DestinationPort != demoTCPPort)
	})
	if err := d.awaitAge(ctx, expected, minimumAge*time.Second); err != nil {
		return err
	}
	for _, line := range sdkCall(in) {
		d.story.tell("%s", line)
	}
	operation := ""
	var flows []types.Flow
	tallies, err := d.whileQuiet(ctx, func() error {
		newcomer, err := d.addNewcomer(ctx, hosts)
		if err != nil {
			return err
		}
		operation, flows, err = d.mission(ctx, in)
		if err == nil && time.Since(newcomer.began) >= minimumAge*time.Second {
			return errAgain // on a busy host: it may have become old enough meanwhile
		}
		return err
	})
	if err != nil {
		return err
	}
	checked, problems := compareFlows(flows, expected, tallies, time.Now())
	d.story.tell("operation %s COMPLETED, its pages hold %s:", operation, count(int64(len(flows)), "flow"))
	if err := checkedTable(checked).write(d.shell.stdout, "   "); err != nil {
		return err
	}
	if len(problems) > 0 {
		return fmt.Errorf("the SDK's capture is wrong:\n  %s", strings.Join(problems, "\n  "))
	}
	d.story.tell("Equal to the connections again. A newcomer, younger than %d s, is left out; so is the", minimumAge)
	d.story.tell("connection that was flushed.")
	return d.listOperations(ctx)
}

// mission starts the capture, waits for it and reads its pages.
func (d *demoRun) mission(ctx context.Context, in *networkfirewall.StartFlowCaptureInput) (string, []types.Flow, error) {
	out, err := d.client.StartFlowCapture(ctx, in)
	if err != nil {
		return "", nil, err
	}
	scope := flowScope{firewallArn: d.arn, zone: d.zone}
	r, err := finishOperation(ctx, d.client, scope, aws.ToString(out.FlowOperationId))
	if err != nil {
		return "", nil, err
	}
	if err := statusError(r); err != nil {
		return "", nil, err
	}
	pages := networkfirewall.NewListFlowOperationResultsPaginator(d.client, &networkfirewall.ListFlowOperationResultsInput{
		FirewallArn: aws.String(d.arn), AvailabilityZone: aws.String(d.zone), FlowOperationId: out.FlowOperationId, MaxResults: aws.Int32(2)})
	var flows []types.Flow
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return "", nil, err
		}
		flows = append(flows, page.Flows...)
	}
	return r.FlowOperationID, flows, nil
}

// awaitAge waits until all connections are old enough to be captured.
func (d *demoRun) awaitAge(ctx context.Context, talks []*talk, age time.Duration) error {
	for _, t := range talks {
		// The flow begins a moment after its client's watch.
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(age + 100*time.Millisecond - time.Since(t.began)):
		}
	}
	return nil
}

// addNewcomer opens a connection that matches the filters but is too young, and
// closes the one before.
func (d *demoRun) addNewcomer(ctx context.Context, hosts []testnet.LabHost) (*talk, error) {
	if d.newcomer != nil {
		if err := d.newcomer.conn.Close(); err != nil {
			return nil, err
		}
	}
	to := netip.AddrPortFrom(hosts[1].IPv4, demoTCPPort)
	t, err := startTalk(ctx, hosts[0].Netns, "tcp", to, "a newcomer", 1, 100)
	if err != nil {
		return nil, err
	}
	d.newcomer = t
	return t, nil
}

// listOperations shows what the API remembers of the demo.
func (d *demoRun) listOperations(ctx context.Context) error {
	out, err := d.sluice(ctx, "flow", "list")
	if err != nil {
		return err
	}
	d.quote(out)
	return nil
}

// sdkCall writes the call as a boto3 user would, since that is how the mission's
// document writes it.
func sdkCall(in *networkfirewall.StartFlowCaptureInput) []string {
	lines := []string{
		"client.start_flow_capture(",
		"    FirewallArn=" + pyString(in.FirewallArn) + ",",
		fmt.Sprintf("    AvailabilityZone=%s, MinimumFlowAgeInSeconds=%d, FlowFilters=[", pyString(in.AvailabilityZone), *in.MinimumFlowAgeInSeconds),
	}
	for _, f := range in.FlowFilters {
		lines = append(lines,
			fmt.Sprintf("        {'SourceAddress': {'AddressDefinition': %s}, 'SourcePort': %s,", pyString(f.SourceAddress.AddressDefinition), pyString(f.SourcePort)),
			fmt.Sprintf("         'DestinationAddress': {'AddressDefinition': %s}, 'DestinationPort': %s,", pyString(f.DestinationAddress.AddressDefinition), pyString(f.DestinationPort)),
			fmt.Sprintf("         'Protocols': ['%s']},", strings.Join(f.Protocols, "', '")))
	}
	return append(lines, "    ])")
}

func pyString(s *string) string { return "'" + aws.ToString(s) + "'" }
