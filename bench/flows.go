package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	nfw "github.com/aws/aws-sdk-go-v2/service/networkfirewall"
	"github.com/aws/aws-sdk-go-v2/service/networkfirewall/types"

	"sluice/internal/testserver"
)

// rounds is how often each operation is timed; the median counts.
const rounds = 5

// product is a running Sluice with a firewall on a gateway's client network.
type product struct {
	*gateway
	server   *testserver.Server
	client   *nfw.Client
	firewall string // ARN
}

// capture runs a capture through the API, from the request to the first page in
// hand, and returns the page.
func (p *product) capture(ctx context.Context, f types.FlowFilter) (time.Duration, []types.Flow, error) {
	begin := time.Now()
	op, err := p.client.StartFlowCapture(ctx, &nfw.StartFlowCaptureInput{FirewallArn: &p.firewall, FlowFilters: []types.FlowFilter{f}})
	if err != nil {
		return 0, nil, err
	}
	end, err := testserver.Finish(ctx, p.client, p.firewall, *op.FlowOperationId)
	if err != nil {
		return 0, nil, err
	}
	if end.FlowOperationStatus != types.FlowOperationStatusCompleted {
		return 0, nil, fmt.Errorf("capture ended %s: %s", end.FlowOperationStatus, aws.ToString(end.StatusMessage))
	}
	page, err := p.client.ListFlowOperationResults(ctx, &nfw.ListFlowOperationResultsInput{
		FirewallArn: &p.firewall, FlowOperationId: op.FlowOperationId, MaxResults: aws.Int32(100),
	})
	if err != nil {
		return 0, nil, err
	}
	return time.Since(begin), page.Flows, nil
}

// flush runs a flush through the API until it has ended.
func (p *product) flush(ctx context.Context, f types.FlowFilter) (time.Duration, error) {
	begin := time.Now()
	op, err := p.client.StartFlowFlush(ctx, &nfw.StartFlowFlushInput{FirewallArn: &p.firewall, FlowFilters: []types.FlowFilter{f}})
	if err != nil {
		return 0, err
	}
	end, err := testserver.Finish(ctx, p.client, p.firewall, *op.FlowOperationId)
	if err == nil && end.FlowOperationStatus != types.FlowOperationStatusCompleted {
		err = fmt.Errorf("flush ended %s: %s", end.FlowOperationStatus, aws.ToString(end.StatusMessage))
	}
	return time.Since(begin), err
}

func from(addr string) types.FlowFilter {
	return types.FlowFilter{SourceAddress: &types.Address{AddressDefinition: &addr}, Protocols: []string{"17"}}
}

// benchFlows compares capture, flush and memory at n flows.
func benchFlows(ctx context.Context, p *product, rival *gateway, n int) ([]Result, error) {
	slabBefore, err := unreclaimableSlab()
	if err != nil {
		return nil, err
	}
	if err := rival.establish(n); err != nil {
		return nil, err
	}
	entries, err := conntrackCount(ctx, rival)
	if err != nil {
		return nil, err
	}
	if entries < n {
		return nil, fmt.Errorf("the rival tracks %d of %d flows", entries, n)
	}
	slabAfter, err := unreclaimableSlab()
	if err != nil {
		return nil, err
	}
	if err := p.establish(n); err != nil {
		return nil, err
	}
	results, err := benchCapture(ctx, p, rival)
	if err != nil {
		return nil, err
	}
	flushed, err := benchFlush(ctx, p, rival)
	if err != nil {
		return nil, err
	}
	memory, err := benchMemory(p, float64(slabAfter-slabBefore)/float64(entries))
	if err != nil {
		return nil, err
	}
	return append(results, flushed, memory), nil
}

func benchCapture(ctx context.Context, p *product, rival *gateway) ([]Result, error) {
	var mine, theirs, wide []time.Duration
	for i := range rounds {
		port := firstPort + 1000*i
		addr := sender(10 + i)
		f := from(addr.String() + "/32")
		f.SourcePort = aws.String(fmt.Sprint(port))
		d, page, err := p.capture(ctx, f)
		if err != nil {
			return nil, err
		}
		if len(page) != 1 || *page[0].SourcePort != fmt.Sprint(port) || aws.ToInt32(page[0].PacketCount) != 2 {
			return nil, fmt.Errorf("capture of one flow found %d rows", len(page))
		}
		mine = append(mine, d)
		d, lines, err := timeConntrack(ctx, rival, "-L", "-p", "udp", "-s", addr.String(), "--sport", fmt.Sprint(port))
		if err != nil {
			return nil, err
		}
		if lines != 1 {
			return nil, fmt.Errorf("conntrack -L found %d rows for one flow", lines)
		}
		theirs = append(theirs, d)
		if d, page, err = p.capture(ctx, from("10.77.1.0/24")); err != nil {
			return nil, err
		}
		if len(page) != 100 {
			return nil, fmt.Errorf("the first page of all flows has %d rows", len(page))
		}
		wide = append(wide, d)
	}
	return []Result{
		fewer("capture, narrow filter, 1 M flows", "s", median(mine), median(theirs), "conntrack -L", 50),
		fewer("first page of a 1 M-row capture", "s", median(wide), 1, "limit", 1),
	}, nil
}

func benchFlush(ctx context.Context, p *product, rival *gateway) (Result, error) {
	var mine, theirs []time.Duration
	for i := range rounds {
		addr := sender(50 + i)
		d, err := p.flush(ctx, from(addr.String()+"/32"))
		if err != nil {
			return Result{}, err
		}
		mine = append(mine, d)
		if _, left, err := p.capture(ctx, from(addr.String()+"/32")); err != nil || len(left) != 0 {
			return Result{}, fmt.Errorf("%d flows are left after the flush: %w", len(left), err)
		}
		d, lines, err := timeConntrack(ctx, rival, "-D", "-p", "udp", "-s", addr.String())
		if err != nil {
			return Result{}, err
		}
		if lines != portsPerSender {
			return Result{}, fmt.Errorf("conntrack -D cut %d flows, not %d", lines, portsPerSender)
		}
		theirs = append(theirs, d)
	}
	return fewer("flush of 1 % of 1 M flows", "s", median(mine), median(theirs), "conntrack -D", 50), nil
}

func median(d []time.Duration) float64 {
	slices.Sort(d)
	return d[len(d)/2].Seconds()
}
