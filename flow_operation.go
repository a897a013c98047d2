package sluice

import "time"

// FlowOperationType is what a flow operation does with the flows that it finds.
type FlowOperationType string

// The two flow operations.
const (
	FlowCapture FlowOperationType = "FLOW_CAPTURE"
	FlowFlush   FlowOperationType = "FLOW_FLUSH"
)

// FlowOperationStatus is how far a flow operation has come.
type FlowOperationStatus string

// The states of a flow operation; the last three are final.
const (
	OperationInProgress          FlowOperationStatus = "IN_PROGRESS"
	OperationCompleted           FlowOperationStatus = "COMPLETED"
	OperationCompletedWithErrors FlowOperationStatus = "COMPLETED_WITH_ERRORS"
	OperationFailed              FlowOperationStatus = "FAILED"
)

// The two StatusMessages that the model documents for operations that did not
// end well.
const (
	MessageFlowError   = "Flow operation error"
	MessageFlowTimeout = "Flow timeout"
)

// FlowOperationRetention is how long an operation and its results are kept.
const FlowOperationRetention = 12 * time.Hour

// FlowOperation is a capture or a flush of a firewall's flows, in the zones named.
type FlowOperation struct {
	ID           string // lower-case UUID
	Type         FlowOperationType
	FirewallArn  string
	FirewallID   string // so that a new firewall of the same name does not inherit it
	Status       FlowOperationStatus
	Message      string // only when Status is FAILED or COMPLETED_WITH_ERRORS
	RequestTime  time.Time
	Filters      []FlowFilter
	MinimumAge   int32 // seconds
	MinimumGiven bool  // MinimumFlowAgeInSeconds was in the request

	// How the request named its scope; describe echoes it.
	AvailabilityZone string
	VpcEndpointID    string
	// Zones are the availability zones in scope, sorted. One operation at a time
	// runs in each.
	Zones []string

	Flows int64 // rows in the results
}

// FlowCommand is a flow operation as an agent is asked to carry it out on one
// endpoint.
type FlowCommand struct {
	OperationID string
	Type        FlowOperationType
	EndpointID  string // vpce-…
	Selection   FlowSelection
	Deadline    time.Time
}

// FlowOutcome is how one host ended a FlowCommand.
type FlowOutcome struct {
	HostID string
	// Err is nil when the host went through its whole table and every row was
	// emitted; context.DeadlineExceeded when time ran out.
	Err error
}
