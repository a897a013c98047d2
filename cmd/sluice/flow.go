package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/networkfirewall"
	"github.com/aws/aws-sdk-go-v2/service/networkfirewall/types"
)

// pollInterval is how often a running operation is asked for its status, and a
// firewall whether it is ready.
const pollInterval = 100 * time.Millisecond

// flowResult is a flow operation with its flows. As JSON it has the shape of
// ListFlowOperationResults, all pages in one, and two members of its own: how many
// flows the operation has, and whether --limit has left some out.
type flowResult struct {
	FirewallArn          string
	AvailabilityZone     *string `json:",omitempty"`
	VpcEndpointID        *string `json:"VpcEndpointId,omitempty"`
	FlowOperationID      string  `json:"FlowOperationId"`
	FlowOperationType    types.FlowOperationType
	FlowOperationStatus  types.FlowOperationStatus
	StatusMessage        *string `json:",omitempty"`
	FlowRequestTimestamp *time.Time
	FlowOperation        *types.FlowOperation `json:"-"`
	zones                []string             // that it was asked of, where it named none
	TotalFlows           int
	Truncated            bool
	Flows                []types.Flow
}

// flowScope is the part of a firewall that an operation works on.
type flowScope struct {
	firewallArn string
	zone        string // "" is all zones of the firewall
}

func (s flowScope) zonePointer() *string {
	if s.zone == "" {
		return nil
	}
	return aws.String(s.zone)
}

// finishOperation waits until an operation has ended.
func finishOperation(ctx context.Context, c *apiClient, scope flowScope, id string) (flowResult, error) {
	for {
		out, err := c.DescribeFlowOperation(ctx, &networkfirewall.DescribeFlowOperationInput{
			FirewallArn: aws.String(scope.firewallArn), AvailabilityZone: scope.zonePointer(), FlowOperationId: aws.String(id)})
		if err != nil {
			return flowResult{}, err
		}
		if out.FlowOperationStatus != types.FlowOperationStatusInProgress {
			return flowResult{
				FirewallArn: aws.ToString(out.FirewallArn), AvailabilityZone: out.AvailabilityZone, VpcEndpointID: out.VpcEndpointId,
				FlowOperationID: id, FlowOperationType: out.FlowOperationType, FlowOperationStatus: out.FlowOperationStatus,
				StatusMessage: out.StatusMessage, FlowRequestTimestamp: out.FlowRequestTimestamp,
				FlowOperation: out.FlowOperation, Flows: []types.Flow{},
			}, nil
		}
		select {
		case <-ctx.Done():
			return flowResult{}, ctx.Err()
		case <-time.After(pollInterval):
		}
	}
}

// readFlows reads all pages of a finished operation, since the API tells nobody
// how many flows there are, and keeps the first flows of them; 0 is all.
func readFlows(ctx context.Context, c *apiClient, scope flowScope, r *flowResult, keep int, p *progress) error {
	pages := networkfirewall.NewListFlowOperationResultsPaginator(c, &networkfirewall.ListFlowOperationResultsInput{
		FirewallArn: aws.String(scope.firewallArn), AvailabilityZone: scope.zonePointer(),
		FlowOperationId: aws.String(r.FlowOperationID), MaxResults: aws.Int32(100)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		r.TotalFlows += len(page.Flows)
		flows := page.Flows
		if keep > 0 {
			flows = flows[:min(len(flows), keep-len(r.Flows))]
		}
		r.Flows = append(r.Flows, flows...)
		p.say("reading %s", count(int64(r.TotalFlows), "flow"))
	}
	return nil
}

// statusError is the error that an operation's status stands for: flows may be
// missing, so that a script must not take the rows for all of them.
func statusError(r flowResult) error {
	if r.FlowOperationStatus == types.FlowOperationStatusCompleted {
		return nil
	}
	if m := aws.ToString(r.StatusMessage); m != "" {
		return fmt.Errorf("operation %s: %s: %s", r.FlowOperationID, r.FlowOperationStatus, m)
	}
	return fmt.Errorf("operation %s: %s", r.FlowOperationID, r.FlowOperationStatus)
}

// zonesNote says that rows may stand for the same flow: each zone has an endpoint,
// and each endpoint has its own view of a flow. "" is that they can't.
func (r flowResult) zonesNote() string {
	if len(r.zones) < 2 || r.TotalFlows < 2 {
		return ""
	}
	return fmt.Sprintf("%d zones were asked (%s): a flow that crosses two endpoints is there once for each; --zone asks one",
		len(r.zones), strings.Join(r.zones, ", "))
}

// writeJSON writes v indented, as the AWS CLI does.
func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "    ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
