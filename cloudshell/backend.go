package cloudshell

import (
	"context"
	"time"

	"sluice/control"
)

// Backend is what the operations of this front door call. control.Controller is the
// one that ships. Sandbox ids come in any case. Errors that a caller may read are a
// *control.SandboxError or a *sluice.Error; a sandbox that doesn't exist is
//
//	100: Reservation with id '<id>' not exists.
type Backend interface {
	// CreateSandbox returns once the sandbox is stored; a blueprint's setup may go on.
	// An unknown blueprint has code control.SandboxErrorNotFound.
	CreateSandbox(context.Context, control.SandboxUser, control.CreateSandboxInput) (control.Sandbox, error)
	// Sandbox returns a sandbox, ended or not. It never waits for a command.
	Sandbox(ctx context.Context, u control.SandboxUser, id string) (control.Sandbox, error)
	// Sandboxes returns those that are not Completed and that u may see, oldest first;
	// an owner of "" is all.
	Sandboxes(ctx context.Context, u control.SandboxUser, owner string) ([]control.Sandbox, error)
	ExtendSandbox(ctx context.Context, u control.SandboxUser, id string, by time.Duration) error
	// EndSandbox begins the end and returns; the clean-up goes on by itself. To end a
	// sandbox that has ended changes nothing and is no error.
	EndSandbox(ctx context.Context, u control.SandboxUser, id string) error
	// TerminateSandbox ends a sandbox at once: when it returns, all is cleaned up.
	TerminateSandbox(ctx context.Context, u control.SandboxUser, id string) error
	AddPermittedUsers(ctx context.Context, u control.SandboxUser, id string, users []string) error

	// AddResources and RemoveResources take names of resources, or names or ids of
	// instances. All of them or none.
	AddResources(ctx context.Context, u control.SandboxUser, id string, names []string, shared bool) error
	RemoveResources(ctx context.Context, u control.SandboxUser, id string, names []string) error
	// Resource returns a deployed App, an instance of the inventory (by name or id) or
	// the cloud provider. An unknown one has code control.SandboxErrorNotFound.
	Resource(ctx context.Context, u control.SandboxUser, name string) (control.SandboxResource, error)

	// CreateMirroring makes the sessions of all actions or of none. What fails before
	// anything is made is an error; what fails later, a rule's Fault for one, is told
	// in every result. ctx is
	// not cancelled when the caller's connection breaks.
	CreateMirroring(ctx context.Context, u control.SandboxUser, id string, actions []control.CreateMirroringAction) ([]control.MirroringResult, error)
	// RemoveMirroring removes sessions of this sandbox; those of others are not found.
	RemoveMirroring(ctx context.Context, u control.SandboxUser, id string, actions []control.RemoveMirroringAction) ([]control.MirroringResult, error)

	// CheckoutFromPool takes a value for a sandbox until it gives it back or ends.
	CheckoutFromPool(context.Context, control.SandboxUser, control.PoolRequest) (string, error)
	// ReleaseFromPool gives values back; those that the sandbox doesn't hold are passed
	// over.
	ReleaseFromPool(context.Context, control.SandboxUser, control.PoolRelease) error

	// SetAppSecurityGroups replaces the Apps' own inbound rules, of all or of none; one
	// result per App.
	SetAppSecurityGroups(ctx context.Context, u control.SandboxUser, id string, groups []control.AppSecurityGroups) ([]control.AppSecurityResult, error)

	// SandboxData returns the data of a sandbox, ordered by key.
	SandboxData(ctx context.Context, u control.SandboxUser, id string) ([]control.NameValue, error)
	// SetSandboxData sets the keys that are given and leaves the others.
	SetSandboxData(ctx context.Context, u control.SandboxUser, id string, data []control.NameValue) error
	// ClearSandboxData removes all data of a sandbox.
	ClearSandboxData(ctx context.Context, u control.SandboxUser, id string) error
	// WriteMessage adds a line to the output of a sandbox.
	WriteMessage(ctx context.Context, u control.SandboxUser, id, message string) error
	// SandboxOutput returns the last lines of the output of a sandbox, oldest first.
	SandboxOutput(ctx context.Context, u control.SandboxUser, id string) ([]string, error)
}
