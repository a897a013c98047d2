package control

import (
	"fmt"
	"time"
)

// The error codes of CloudShell that sandboxes have. They are text on the wire.
const (
	SandboxErrorGeneral  = 100 // unknown sandbox, pool failures, not permitted, wrong state
	SandboxErrorNotFound = 102 // resource or blueprint
	SandboxErrorExists   = 114
	SandboxErrorDriver   = 151 // a command refused before it changed anything
)

// SandboxError is an error of a sandbox that a caller may read, with CloudShell's
// code. Any *sluice.Error that comes without one is shown under SandboxErrorGeneral,
// and under SandboxErrorDriver where a command failed.
type SandboxError struct {
	Code    int
	Message string
}

// Error returns the message.
func (e *SandboxError) Error() string { return e.Message }

// SandboxErrorf makes a SandboxError with a formatted message.
func SandboxErrorf(code int, format string, args ...any) *SandboxError {
	return &SandboxError{Code: code, Message: fmt.Sprintf(format, args...)}
}

// SandboxUser is who asks. The owner of a sandbox, its permitted users and admins may
// act on it; for others it is an error that says so.
type SandboxUser struct {
	Name   string
	Domain string // "Global"
	Admin  bool
}

// The values of Sandbox.Status and Sandbox.Provisioning.
const (
	SandboxStarted   = "Started"
	SandboxTeardown  = "Teardown"
	SandboxCompleted = "Completed"

	ProvisioningSetup    = "Setup"
	ProvisioningReady    = "Ready"
	ProvisioningNotRun   = "Not Run" // there was no blueprint to set up
	ProvisioningError    = "Error"
	ProvisioningTeardown = "Teardown"
)

// Sandbox is a reservation of resources for a time.
type Sandbox struct {
	ID             string // lower-case UUID; callers may write it in any case
	Name           string
	Description    string
	Owner          string
	Domain         string
	Blueprint      string // full path; "" without one
	Start, End     time.Time
	ActualEnd      time.Time // zero until it is Completed
	Created        time.Time
	Modified       time.Time
	Status         string
	Provisioning   string
	PermittedUsers []string // without the owner
	Resources      []SandboxResource
	Services       []SandboxService
}

// SandboxResource is a resource of a sandbox or of the inventory.
type SandboxResource struct {
	Name      string // of an App that was deployed: the App's name, "-" and four digits of the sandbox's id
	Address   string // the primary address; "" for none
	Family    string // "CS_GenericAppFamily", "CS_CloudProvider"
	Model     string // "Generic App", "AWS EC2 Cloud Provider 2G"
	AppName   string // of the blueprint; "" where it came otherwise
	Shared    bool
	SandboxID string // "" where it is in none
	VM        *VMDetails
}

// VMDetails is what makes a resource an instance.
type VMDetails struct {
	InstanceID string
	Provider   string           // name of the cloud provider resource: "AWS"
	Data       []NameValue      // "instance type", "VPC ID", ...
	Interfaces []VMNetInterface // ordered by DeviceIndex
}

// VMNetInterface is one interface of an instance.
type VMNetInterface struct {
	ID          string // "eni-..."
	SubnetID    string
	MAC         string
	Address     string // primary private address; "" for none
	DeviceIndex int    // 0 is the primary interface
}

// SandboxService is a service of a sandbox, such as a subnet with its attribute
// "Subnet Id".
type SandboxService struct {
	Name, Alias string
	Attributes  []NameValue
}

// NameValue is a named text.
type NameValue struct{ Name, Value string }

// Blueprint is what a sandbox can be made from.
type Blueprint struct {
	Path string // the full path that topologyFullPath names
	Apps []BlueprintApp
}

// BlueprintApp is an instance of the inventory under the name of an App.
type BlueprintApp struct {
	Name     string
	Instance string // name or id of an instance of the inventory
	// InboundPorts is the attribute Inbound Ports: "80;443:tcp:10.0.0.0/24;200-220:udp".
	InboundPorts string
	// AllowAllSandboxTraffic lets every member of the sandbox talk to this one.
	AllowAllSandboxTraffic bool
	// Shared lets several sandboxes have the instance at once, where all of them share it.
	Shared bool
}

// CreateSandboxInput is the request of CreateImmediateReservation, with and without
// a blueprint.
type CreateSandboxInput struct {
	Name      string
	Owner     string // "": the user who asks; another's only for admins
	Duration  time.Duration
	Blueprint string // full path; "" for an empty sandbox
}

// MirroringRule is a TrafficFilterRule, with its protocol and ports read.
type MirroringRule struct {
	Direction        string // as given: sluice.TrafficIngress, sluice.TrafficEgress or what is refused
	Protocol         int32  // IANA number; -1 is any
	SourcePorts      *MirroringPorts
	DestinationPorts *MirroringPorts
	SourceCIDR       string // as given, host bits and all; "" is 0.0.0.0/0
	DestinationCIDR  string
	// Fault is why the rule can't be made, where the front door has found that: the
	// driver finds it only when it has the numbers of all sessions.
	Fault string
}

// MirroringPorts is a PortRange. A side that was not given is nil.
type MirroringPorts struct{ From, To *int32 }

// CreateMirroringAction is one action of CreateTrafficMirroring. Shape and driver's
// checks are the front door's: the ids are not empty, the number is in its range.
type CreateMirroringAction struct {
	ActionID      string
	SourceNIC     string
	TargetNIC     string
	SessionNumber int32 // 1 to 32766; 0 lets the pool of the source choose
	Rules         []MirroringRule
}

// RemoveMirroringAction is one action of RemoveTrafficMirroring. One of the ids is
// given, or both.
type RemoveMirroringAction struct {
	ActionID  string
	SessionID string
	TargetNIC string
}

// MirroringResult is the outcome of one action, in the order of the request. A request
// that fails as a whole before it has changed anything, such as for a session number
// that is taken, is an error instead.
type MirroringResult struct {
	ActionID  string
	Success   bool
	Info      string // "Success"; "Found sessions: tms-..."; "" where it failed to find any
	Error     string // "" where Success
	SessionID string // of CreateTrafficMirroring; "" where it failed
}

// The values of PoolRequest.Kind: what selectionCriteriaJson calls type.
const (
	PoolNextNumber     = "NextAvailableNumericFromRange"
	PoolSpecificNumber = "SpecificNumeric"
)

// PoolRequest is the request of CheckoutFromPool.
type PoolRequest struct {
	Kind       string
	Shared     bool // isolation
	SandboxID  string
	PoolID     string
	OwnerID    string
	Start, End int64  // inclusive, of PoolNextNumber
	Value      string // of PoolSpecificNumber
}

// PoolRelease is the request of ReleaseFromPool.
type PoolRelease struct {
	SandboxID string
	PoolID    string
	OwnerID   string
	Values    []string
}

// AppSecurityGroups are the inbound rules that replace an App's own ones, per subnet.
type AppSecurityGroups struct {
	App     string // name of the deployed App
	Subnets []AppSubnetRules
}

// AppSubnetRules are the rules of the App's interfaces in a subnet.
type AppSubnetRules struct {
	SubnetID string
	Rules    []AppSecurityRule
}

// AppSecurityRule is an inbound rule, with texts as given.
type AppSecurityRule struct{ FromPort, ToPort, Protocol, Source string }

// AppSecurityResult is the outcome for one App.
type AppSecurityResult struct {
	App     string
	Success bool
	Error   string // "Setting custom app security rules failed for '<app>' with error '<e>'."
}
