// Package cloudshell is the front door of CloudShell: its Automation API, XML over
// HTTP on port 8029, for scripts that use CloudShellAPISession.
//
// It knows the protocol: envelopes, log-ons, tokens, the shapes of requests and
// answers, the requests and the messages of the cloud provider's commands. It must
// never know what a sandbox or a mirror session means, and never hold state that has
// to survive a restart: that is the Backend's.
package cloudshell
