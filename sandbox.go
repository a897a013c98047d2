package sluice

import "time"

// Sandbox is a reservation of instances for a time, as the store keeps it.
type Sandbox struct {
	ID             string // lower-case UUID
	Name           string
	Description    string
	Owner          string
	Domain         string
	Blueprint      string // full path; "" without one
	Start, End     time.Time
	ActualEnd      time.Time // zero until it has ended
	Created        time.Time
	Modified       time.Time
	Status         string
	Provisioning   string
	PermittedUsers []string // without the owner
	Members        []SandboxMember
}

// SandboxMember is an instance of a sandbox.
type SandboxMember struct {
	Name       string // under which the sandbox knows it
	AppName    string // of the blueprint; "" where it came otherwise
	InstanceID string
	Shared     bool // other sandboxes may have it too, if they share it
	// What may reach the instance: everything in the sandbox, the inbound ports of the
	// App, and what was set for single interfaces since.
	AllowAll bool
	Inbound  []SecurityGroupRule
	// Custom are the rules by interface id.
	Custom map[string][]SecurityGroupRule
}

// SandboxMirror is a session with its filter and target, as a sandbox makes them at
// once. A target that is there already is used instead.
type SandboxMirror struct {
	Target  TrafficMirrorTarget
	Filter  TrafficMirrorFilter
	Session TrafficMirrorSession // SessionNumber 0 is the lowest that is free
	// The members whose interfaces are the source and the target.
	SourceInstance, TargetInstance string
	// TargetMade tells of a mirror that was made whether its target was made with it.
	TargetMade bool
}

// CodeSessionNumber is the Code of an error that says that a session number can't be
// had on a source.
const CodeSessionNumber = "SessionNumberUnavailable"

// SessionNumberPool is the owner of pools that are session numbers: the id of the pool
// is that of the source.
const SessionNumberPool = "trafficmirrorsessionnumber"

// PoolItem is a value of a pool that a sandbox holds.
type PoolItem struct {
	PoolID    string
	OwnerID   string
	SandboxID string
	Value     string
	Shared    bool // others may hold it too, if they share it
}

// SandboxQuotas bound what sandboxes may have.
type SandboxQuotas struct {
	Sandboxes int // that have not ended; as many ended ones are kept
	PerOwner  int // of Sandboxes, the same for those that ended; 0 is no bound
	PoolItems int // of one sandbox
	DataBytes int // of one sandbox, keys and values
	DataKeys  int // of one sandbox
	// The output of one sandbox. The oldest lines go.
	OutputBytes int
	Messages    int
}
