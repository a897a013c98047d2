package api

import (
	"context"
	"math"
	"strconv"
	"time"

	"sluice"
	"sluice/api/wire"
	"sluice/control"
)

// flowScope are the members by which flow operations name their part of a firewall.
type flowScope struct {
	FirewallArn               *string `shape:"ResourceArn" required:"true"`
	AvailabilityZone          *string
	VpcEndpointAssociationArn *string `shape:"ResourceArn"`
	VpcEndpointId             *string `shape:"VpcEndpointId"`
}

// scope returns the scope that was named. A zone that is there and empty is an error
// and not the same as none, which would mean all zones.
func (s flowScope) scope() (control.FlowScope, error) {
	if s.AvailabilityZone != nil && *s.AvailabilityZone == "" {
		return control.FlowScope{}, sluice.InvalidParameter("AvailabilityZone", "cannot be null or empty", "", "AvailabilityZone")
	}
	return control.FlowScope{
		FirewallArn:            value(s.FirewallArn),
		AvailabilityZone:       value(s.AvailabilityZone),
		VpcEndpointID:          value(s.VpcEndpointId),
		EndpointAssociationArn: value(s.VpcEndpointAssociationArn),
	}, nil
}

func (s flowScope) bound(operation string, more ...any) string {
	return binding(operation, append([]any{s.FirewallArn, s.AvailabilityZone, s.VpcEndpointAssociationArn, s.VpcEndpointId}, more...)...)
}

// address is the Address structure.
type address struct {
	AddressDefinition *string `shape:"AddressDefinition" required:"true"`
}

// flowFilter is the FlowFilter structure, in requests and answers.
type flowFilter struct {
	SourceAddress      *address `json:",omitempty"`
	DestinationAddress *address `json:",omitempty"`
	SourcePort         *string  `json:",omitempty" shape:"Port"`
	DestinationPort    *string  `json:",omitempty" shape:"Port"`
	Protocols          []string `json:",omitempty" of:"ProtocolString"`
}

func (f flowFilter) filter() sluice.FlowFilter {
	out := sluice.FlowFilter{
		SourcePort:      value(f.SourcePort),
		DestinationPort: value(f.DestinationPort),
		Protocols:       f.Protocols,
	}
	if f.SourceAddress != nil {
		out.SourceAddress = value(f.SourceAddress.AddressDefinition)
	}
	if f.DestinationAddress != nil {
		out.DestinationAddress = value(f.DestinationAddress.AddressDefinition)
	}
	return out
}

func showAddress(s string) *address {
	if s == "" {
		return nil
	}
	return &address{&s}
}

func showFilters(in []sluice.FlowFilter) []flowFilter {
	out := make([]flowFilter, len(in))
	for i, f := range in {
		out[i] = flowFilter{
			SourceAddress:      showAddress(f.SourceAddress),
			DestinationAddress: showAddress(f.DestinationAddress),
			SourcePort:         given(f.SourcePort),
			DestinationPort:    given(f.DestinationPort),
			Protocols:          f.Protocols,
		}
	}
	return out
}

type startFlowRequest struct {
	flowScope
	MinimumFlowAgeInSeconds *int32
	FlowFilters             []flowFilter `required:"true"`
}

type startFlowResponse struct {
	FirewallArn         string
	FlowOperationId     string
	FlowOperationStatus sluice.FlowOperationStatus
}

func startFlowCapture(ctx context.Context, c *call, in *startFlowRequest) (*startFlowResponse, error) {
	return startFlow(ctx, c, sluice.FlowCapture, in)
}

func startFlowFlush(ctx context.Context, c *call, in *startFlowRequest) (*startFlowResponse, error) {
	return startFlow(ctx, c, sluice.FlowFlush, in)
}

func startFlow(ctx context.Context, c *call, t sluice.FlowOperationType, in *startFlowRequest) (*startFlowResponse, error) {
	scope, err := in.scope()
	if err != nil {
		return nil, err
	}
	filters := make([]sluice.FlowFilter, len(in.FlowFilters))
	for i, f := range in.FlowFilters {
		filters[i] = f.filter()
	}
	op, err := c.backend.StartFlowOperation(ctx, control.StartFlowOperationInput{
		Type:         t,
		Scope:        scope,
		Filters:      filters,
		MinimumAge:   value(in.MinimumFlowAgeInSeconds),
		MinimumGiven: in.MinimumFlowAgeInSeconds != nil,
	})
	if err != nil {
		return nil, err
	}
	return &startFlowResponse{op.FirewallArn, op.ID, op.Status}, nil
}

type describeFlowOperationRequest struct {
	flowScope
	FlowOperationId *string `shape:"FlowOperationId" required:"true"`
}

// flowOperationHead are the members that describe and results have in common.
type flowOperationHead struct {
	FirewallArn          string
	AvailabilityZone     *string `json:",omitempty"`
	VpcEndpointId        *string `json:",omitempty"`
	FlowOperationId      string
	FlowOperationStatus  sluice.FlowOperationStatus
	StatusMessage        *string `json:",omitempty"`
	FlowRequestTimestamp wire.Timestamp
}

func showHead(op sluice.FlowOperation) flowOperationHead {
	return flowOperationHead{
		FirewallArn:          op.FirewallArn,
		AvailabilityZone:     given(op.AvailabilityZone),
		VpcEndpointId:        given(op.VpcEndpointID),
		FlowOperationId:      op.ID,
		FlowOperationStatus:  op.Status,
		StatusMessage:        given(op.Message),
		FlowRequestTimestamp: wire.Timestamp(op.RequestTime),
	}
}

type describeFlowOperationResponse struct {
	flowOperationHead
	FlowOperationType sluice.FlowOperationType
	FlowOperation     struct {
		MinimumFlowAgeInSeconds *int32 `json:",omitempty"`
		FlowFilters             []flowFilter
	}
}

func describeFlowOperation(ctx context.Context, c *call, in *describeFlowOperationRequest) (*describeFlowOperationResponse, error) {
	scope, err := in.scope()
	if err != nil {
		return nil, err
	}
	op, err := c.backend.DescribeFlowOperation(ctx, scope, *in.FlowOperationId)
	if err != nil {
		return nil, err
	}
	out := &describeFlowOperationResponse{flowOperationHead: showHead(op), FlowOperationType: op.Type}
	out.FlowOperation.FlowFilters = showFilters(op.Filters)
	if op.MinimumGiven {
		out.FlowOperation.MinimumFlowAgeInSeconds = &op.MinimumAge
	}
	return out, nil
}

type listFlowOperationsRequest struct {
	flowScope
	FlowOperationType *string `shape:"FlowOperationType"`
	paging
}

type flowOperationMetadata struct {
	FlowOperationId      string
	FlowOperationType    sluice.FlowOperationType
	FlowRequestTimestamp wire.Timestamp
	FlowOperationStatus  sluice.FlowOperationStatus
}

type listFlowOperationsResponse struct {
	FlowOperations []flowOperationMetadata
	NextToken      *string `json:",omitempty"`
}

// flowOperationPosition is the last operation that a page showed. The time finds the
// place when the operation itself has been purged since.
type flowOperationPosition struct {
	ID   string
	Time time.Time
}

func listFlowOperations(ctx context.Context, c *call, in *listFlowOperationsRequest) (*listFlowOperationsResponse, error) {
	bound := in.bound(c.operation, in.FlowOperationType)
	var last flowOperationPosition
	if err := c.position(bound, in.NextToken, &last); err != nil {
		return nil, err
	}
	scope, err := in.scope()
	if err != nil {
		return nil, err
	}
	ops, err := c.backend.ListFlowOperations(ctx, scope, sluice.FlowOperationType(value(in.FlowOperationType)))
	if err != nil {
		return nil, err
	}
	if in.NextToken != nil {
		ops = after(ops, last)
	}
	limit := defaultPage
	if in.MaxResults != nil {
		limit = int(*in.MaxResults)
	}
	out := &listFlowOperationsResponse{FlowOperations: []flowOperationMetadata{}}
	if len(ops) > limit {
		ops = ops[:limit]
		next, err := c.sealPosition(bound, flowOperationPosition{ops[limit-1].ID, ops[limit-1].RequestTime})
		if err != nil {
			return nil, err
		}
		out.NextToken = &next
	}
	for _, op := range ops {
		out.FlowOperations = append(out.FlowOperations,
			flowOperationMetadata{op.ID, op.Type, wire.Timestamp(op.RequestTime), op.Status})
	}
	return out, nil
}

// after returns the operations, newest first, that follow a position.
func after(ops []sluice.FlowOperation, last flowOperationPosition) []sluice.FlowOperation {
	for i, op := range ops {
		if op.ID == last.ID {
			return ops[i+1:]
		}
	}
	for i, op := range ops {
		if op.RequestTime.Before(last.Time) {
			return ops[i:]
		}
	}
	return nil
}

type listFlowOperationResultsRequest struct {
	flowScope
	FlowOperationId *string `shape:"FlowOperationId" required:"true"`
	paging
}

type flow struct {
	SourceAddress      *address
	DestinationAddress *address
	SourcePort         string
	DestinationPort    string
	Protocol           string
	Age                int32
	PacketCount        int32
	ByteCount          int64
}

type listFlowOperationResultsResponse struct {
	flowOperationHead
	Flows     []flow
	NextToken *string `json:",omitempty"`
}

func listFlowOperationResults(ctx context.Context, c *call, in *listFlowOperationResultsRequest) (*listFlowOperationResultsResponse, error) {
	bound := in.bound(c.operation, in.FlowOperationId)
	var offset int64
	if err := c.position(bound, in.NextToken, &offset); err != nil {
		return nil, err
	}
	limit := defaultPage
	if in.MaxResults != nil {
		limit = int(*in.MaxResults)
	}
	scope, err := in.scope()
	if err != nil {
		return nil, err
	}
	op, rows, more, err := c.backend.FlowResults(ctx, scope, *in.FlowOperationId, offset, limit)
	if err != nil {
		return nil, err
	}
	out := &listFlowOperationResultsResponse{flowOperationHead: showHead(op), Flows: make([]flow, len(rows))}
	for i, f := range rows {
		out.Flows[i] = showFlow(f)
	}
	if more && len(rows) > 0 {
		next, err := c.sealPosition(bound, offset+int64(len(rows)))
		if err != nil {
			return nil, err
		}
		out.NextToken = &next
	}
	return out, nil
}

// showFlow makes a row of an answer: both directions summed, whole seconds.
func showFlow(f sluice.Flow) flow {
	return flow{
		SourceAddress:      showAddress(f.Source.String()),
		DestinationAddress: showAddress(f.Destination.String()),
		SourcePort:         strconv.Itoa(int(f.SourcePort)),
		DestinationPort:    strconv.Itoa(int(f.DestinationPort)),
		Protocol:           strconv.Itoa(int(f.Protocol)),
		Age:                wire.Int32(int64(f.Age / time.Second)),
		PacketCount:        wire.Int32(sum(f.Packets)),
		ByteCount:          int64(min(sum(f.Bytes), math.MaxInt64)),
	}
}

// sum adds two counters and stays at the largest value instead of wrapping.
func sum(c [2]uint64) uint64 {
	if c[0] > math.MaxUint64-c[1] {
		return math.MaxUint64
	}
	return c[0] + c[1]
}
