package cloudshell

import (
	"context"
	"slices"
)

// operation is one that this door carries out.
type operation struct {
	name   string
	public bool // needs no token
	// run returns the ResponseInfo of the answer, nil where it has none.
	run func(context.Context, *Door, *call) (*info, error)
}

// operations is the table of everything that this door carries out. Others are answered
// with an error that names them.
func operations() []operation {
	return []operation{
		{"Logon", true, logon},
		{"SecureLogon", true, secureLogon},
		{"Logoff", false, logoff},

		{"CreateImmediateReservation", false, createImmediateReservation},
		{"GetReservationDetails", false, getReservationDetails},
		{"GetReservationStatus", false, getReservationStatus},
		{"GetReservationRemainingTime", false, getReservationRemainingTime},
		{"GetCurrentReservations", false, getCurrentReservations},
		{"ExtendReservation", false, extendReservation},
		{"EndReservation", false, endReservation},
		{"TerminateReservation", false, terminateReservation},
		{"AddPermittedUsersToReservation", false, addPermittedUsers},
		{"WriteMessageToReservationOutput", false, writeMessage},

		{"AddResourcesToReservation", false, addResources},
		{"RemoveResourcesFromReservation", false, removeResources},
		{"GetResourceDetails", false, getResourceDetails},
		{"GetResourceCommands", false, getResourceCommands},

		{"ExecuteCommand", false, executeCommand},
		{"EnqueueCommand", false, enqueueCommand},

		{"CheckoutFromPool", false, checkoutFromPool},
		{"ReleaseFromPool", false, releaseFromPool},
		{"SetAppSecurityGroups", false, setAppSecurityGroups},
		{"GetSandboxData", false, getSandboxData},
		{"SetSandboxData", false, setSandboxData},
		{"ClearSandboxData", false, clearSandboxData},

		{"GetServerDateAndTime", false, getServerDateAndTime},
	}
}

// wantsToken tells whether an operation is there for those only who have logged on.
func wantsToken(name string) bool {
	return slices.ContainsFunc(operations(), func(o operation) bool { return o.name == name && !o.public })
}
