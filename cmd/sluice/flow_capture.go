package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/networkfirewall"
	"github.com/aws/aws-sdk-go-v2/service/networkfirewall/types"
)

// flowRequest is the command line of a capture or a flush.
type flowRequest struct {
	connection
	filterFlags
	firewall   string
	zone       string
	minimumAge int
	sort       string
	limit      int
	everything bool // flush only: --all
}

func (r *flowRequest) register(f *flags) {
	f.StringVar(&r.firewall, "firewall", "", "`NAME` or ARN; may be left out when there is only one")
	f.StringVar(&r.zone, "zone", "", "availability `ZONE` (default all zones of the firewall)")
	f.IntVar(&r.minimumAge, "min-age", 0, "leave out flows younger than so many `SECONDS`")
	r.filterFlags.register(f)
	f.StringVar(&r.sort, "sort", "", "largest first by `KEY`: age, packets or bytes")
	f.IntVar(&r.limit, "limit", 0, "print at most `N` flows, and how many there are")
	r.connection.register(f)
	f.notes = filterNotes
}

// parse reads and checks the command line.
func (r *flowRequest) parse(s *shell, f *flags, args []string) ([]types.FlowFilter, error) {
	if _, err := f.parse(s, args, 0, 0); err != nil {
		return nil, err
	}
	if err := r.check(f); err != nil {
		return nil, err
	}
	if err := checkSort(f, r.sort); err != nil {
		return nil, err
	}
	if r.minimumAge < 0 || r.minimumAge > math.MaxInt32 {
		return nil, usagef(f.command, "--min-age %d: want seconds from 0 to %d", r.minimumAge, math.MaxInt32)
	}
	if r.limit < 0 {
		return nil, usagef(f.command, "--limit %d: can't be negative", r.limit)
	}
	filters, err := r.filters()
	if err != nil {
		return nil, usagef(f.command, "%s", err)
	}
	return filters, nil
}

func checkSort(f *flags, by string) error {
	switch by {
	case "", sortAge, sortPackets, sortBytes:
		return nil
	}
	return usagef(f.command, "--sort %q: want age, packets or bytes", by)
}

func flowCapture(ctx context.Context, s *shell, args []string) error {
	f := newFlags("sluice flow capture", "", "Captures the live flows that match and prints them. Without a filter: all of them.")
	var r flowRequest
	r.register(f)
	filters, err := r.parse(s, f, args)
	if err != nil {
		return err
	}
	return r.run(ctx, s, types.FlowOperationTypeFlowCapture, filters)
}

func flowFlush(ctx context.Context, s *shell, args []string) error {
	f := newFlags("sluice flow flush", "", "Cuts the live flows that match and prints what was cut. What their connections send\n"+
		"afterwards meets the stream exception policy of the firewall's policy.")
	var r flowRequest
	r.register(f)
	f.BoolVar(&r.everything, "all", false, "no filter: cut every flow of the firewall")
	filters, err := r.parse(s, f, args)
	if err != nil {
		return err
	}
	if r.empty() != r.everything {
		return usagef(f.command, "%s needs a filter, or --all and no filter", f.command)
	}
	return r.run(ctx, s, types.FlowOperationTypeFlowFlush, filters)
}

// run starts the operation, waits for its end and prints its flows.
func (r *flowRequest) run(ctx context.Context, s *shell, t types.FlowOperationType, filters []types.FlowFilter) error {
	c, err := r.client(ctx, s)
	if err != nil {
		return err
	}
	p := startProgress(s.stderr, "asking the server")
	result, err := r.operate(ctx, c, t, filters, p)
	p.done()
	if err != nil {
		return err
	}
	return result.print(s, &r.connection, r.sort, r.limit)
}

func (r *flowRequest) operate(ctx context.Context, c *apiClient, t types.FlowOperationType, filters []types.FlowFilter, p *progress) (flowResult, error) {
	d, err := resolveFirewall(ctx, c, r.firewall)
	if err != nil {
		return flowResult{}, err
	}
	arn := aws.ToString(d.Firewall.FirewallArn)
	scope := flowScope{firewallArn: arn, zone: r.zone}
	var minimumAge *int32
	if r.minimumAge > 0 {
		minimumAge = aws.Int32(int32(r.minimumAge))
	}
	id, err := startOperation(ctx, c, t, scope, filters, minimumAge)
	if err != nil {
		return flowResult{}, err
	}
	if t == types.FlowOperationTypeFlowFlush {
		p.say("flushing flows of %s", nameOfARN(arn))
	} else {
		p.say("capturing flows of %s", nameOfARN(arn))
	}
	result, err := finishOperation(ctx, c, scope, id)
	if errors.Is(err, context.Canceled) {
		return result, fmt.Errorf("stopped waiting, the operation goes on: sluice flow show %s", id)
	}
	if err != nil {
		return result, err
	}
	if r.zone == "" {
		result.zones = d.zones()
	}
	return result, readFlows(ctx, c, scope, &result, keepLimit(r.sort, r.limit), p)
}

// keepLimit is how many flows have to be kept of those read: all of them before
// they can be sorted.
func keepLimit(by string, limit int) int {
	if by != "" {
		return 0
	}
	return limit
}

// startOperation starts a capture or a flush and returns its id.
func startOperation(ctx context.Context, c *apiClient, t types.FlowOperationType, scope flowScope, filters []types.FlowFilter, minimumAge *int32) (string, error) {
	if t == types.FlowOperationTypeFlowFlush {
		out, err := c.StartFlowFlush(ctx, &networkfirewall.StartFlowFlushInput{FirewallArn: aws.String(scope.firewallArn),
			AvailabilityZone: scope.zonePointer(), FlowFilters: filters, MinimumFlowAgeInSeconds: minimumAge})
		if err != nil {
			return "", err
		}
		return aws.ToString(out.FlowOperationId), nil
	}
	out, err := c.StartFlowCapture(ctx, &networkfirewall.StartFlowCaptureInput{FirewallArn: aws.String(scope.firewallArn),
		AvailabilityZone: scope.zonePointer(), FlowFilters: filters, MinimumFlowAgeInSeconds: minimumAge})
	if err != nil {
		return "", err
	}
	return aws.ToString(out.FlowOperationId), nil
}

// print writes the flows to stdout, and a line about them to stderr.
func (r flowResult) print(s *shell, c *connection, by string, limit int) error {
	sortFlows(r.Flows, by)
	if limit > 0 && len(r.Flows) > limit {
		r.Flows = r.Flows[:limit]
	}
	r.Truncated = len(r.Flows) < r.TotalFlows
	if c.json() {
		if err := writeJSON(s.stdout, r); err != nil {
			return err
		}
		return statusError(r)
	}
	if len(r.Flows) > 0 {
		if err := flowTable(r.Flows).write(s.stdout, ""); err != nil {
			return err
		}
	}
	verb := "captured"
	if r.FlowOperationType == types.FlowOperationTypeFlowFlush {
		verb = "flushed"
	}
	at := ""
	if r.FlowRequestTimestamp != nil {
		at = " at " + r.FlowRequestTimestamp.Local().Format(time.DateTime)
	}
	showing := ""
	if r.Truncated {
		showing = "showing the first " + grouped(int64(len(r.Flows))) + " of "
	}
	fmt.Fprintf(s.stderr, "%s%s %s%s, operation %s\n", showing, count(int64(r.TotalFlows), "flow"), verb, at, r.FlowOperationID)
	if note := r.zonesNote(); note != "" {
		fmt.Fprintln(s.stderr, note)
	}
	return statusError(r)
}
