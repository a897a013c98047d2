package cloudshell

import (
	"context"
	"strings"

	"sluice"
	"sluice/control"
)

// The commands of the cloud provider, and their only input.
const (
	createMirroring = "CreateTrafficMirroring"
	removeMirroring = "RemoveTrafficMirroring"
	requestInput    = "request"
)

// codeNoCommand is the error of a command that its target doesn't have.
const codeNoCommand = 101

// command is one of the cloud provider resource.
type command struct {
	name, display, description string
	run                        func(ctx context.Context, d *Door, u control.SandboxUser, sandboxID, request string) (string, error)
}

func commands() []command {
	return []command{
		{createMirroring, "Create Traffic Mirroring", "Mirrors the traffic of network interfaces to others", runCreateMirroring},
		{removeMirroring, "Remove Traffic Mirroring", "Removes traffic mirroring sessions of the sandbox", runRemoveMirroring},
	}
}

// prepared is a command that passed all checks but its driver's.
type prepared struct {
	command   command
	sandboxID string
	request   string
}

// prepare makes the checks of ExecuteCommand in CloudShell's order: sandbox, target,
// command, input.
func (d *Door) prepare(ctx context.Context, c *call) (prepared, error) {
	var none prepared
	s, err := d.Backend.Sandbox(ctx, c.user, c.sandboxID())
	if err != nil {
		return none, err
	}
	if s.Status != control.SandboxStarted {
		return none, faultf(control.SandboxErrorGeneral, "The command can't run: the reservation has ended (reservation '%s' is in status %s)", s.ID, s.Status)
	}
	target, kind := c.params.value("targetName"), c.params.value("targetType")
	if !strings.EqualFold(kind, "Resource") {
		return none, faultf(control.SandboxErrorNotFound, "%s '%s' was not found; commands are the cloud provider's, with targetType Resource and targetName %s", cut(kind), cut(target), d.Provider)
	}
	name := c.params.value("commandName")
	if !strings.EqualFold(target, d.Provider) {
		if _, err := d.Backend.Resource(ctx, c.user, target); err != nil {
			return none, err
		}
		return none, faultf(codeNoCommand, "Command '%s' does not exist on resource '%s'", cut(name), cut(target))
	}
	p := prepared{sandboxID: s.ID}
	for _, known := range commands() {
		if known.name == name {
			p.command = known
		}
	}
	if p.command.run == nil {
		return none, faultf(codeNoCommand, "Command '%s' does not exist on resource '%s'", cut(name), d.Provider)
	}
	found := false
	for _, input := range c.params.list("commandInputs") {
		if input.value("Name") == requestInput {
			p.request, found = input.value("Value"), true
		}
	}
	if !found || strings.TrimSpace(p.request) == "" {
		return none, faultf(control.SandboxErrorGeneral, "Command '%s' wants the input '%s'", name, requestInput)
	}
	return p, nil
}

// launch begins a prepared command. Where output is wanted, what it ends with goes to
// the output of the sandbox.
func (d *Door) launch(ctx context.Context, c *call, p prepared, id string, output bool) (*flight, error) {
	e := errand{user: c.user.Name, token: c.token, key: c.key, sandboxID: p.sandboxID, id: id}
	return d.flights.start(ctx, e, func(ctx context.Context) (string, error) {
		text, err := p.command.run(ctx, d, c.user, p.sandboxID, p.request)
		message := p.command.name + ": " + text
		if err != nil {
			f := d.faultOf(p.command.name, err, control.SandboxErrorDriver)
			message, err = p.command.name+" failed: "+f.message, f
		}
		if output {
			d.print(ctx, c, p.sandboxID, message)
		}
		return text, err
	})
}

// print writes to the output of a sandbox. What it tells of has happened already: that it
// can't be written fails nothing.
func (d *Door) print(ctx context.Context, c *call, sandboxID, message string) {
	if err := d.Backend.WriteMessage(ctx, c.user, sandboxID, message); err != nil {
		d.Logger.Error("output of a command is lost", "operation", c.operation, "sandbox", sandboxID, "error", err)
	}
}

func executeCommand(ctx context.Context, d *Door, c *call) (*info, error) {
	p, err := d.prepare(ctx, c)
	if err != nil {
		return nil, err
	}
	f, err := d.launch(ctx, c, p, "", c.printsOutput())
	if err != nil {
		return nil, err
	}
	select {
	case <-f.done:
	case <-ctx.Done(): // the caller is gone; the command is not
		return nil, hungUp()
	}
	c.flight = f
	if f.err != nil {
		return nil, f.err
	}
	if f.text == "" {
		return newInfo("CommandExecutionCompletedResultInfo", "Output", ""), nil
	}
	i := newInfo("CommandExecutionCompletedResultInfo")
	i.leaf("Output", f.text)
	return i, nil
}

// enqueueCommand answers at once; how the command ends is told in the output of the
// sandbox.
func enqueueCommand(ctx context.Context, d *Door, c *call) (*info, error) {
	p, err := d.prepare(ctx, c)
	if err != nil {
		return nil, err
	}
	f, err := d.launch(ctx, c, p, sluice.NewUUID(), true)
	if err != nil {
		return nil, err
	}
	c.flight = f // whoever has its id and asks again wants another run
	return newInfo("CommandExecutionIdResponseInfo", "Id", f.id), nil
}

func runCreateMirroring(ctx context.Context, d *Door, u control.SandboxUser, sandboxID, request string) (string, error) {
	actions, err := parseCreateRequest(request)
	if err != nil {
		return "", err
	}
	results, err := d.Backend.CreateMirroring(ctx, u, sandboxID, actions)
	if err != nil {
		return "", err
	}
	return driverResponse(createMirroring, results), nil
}

func runRemoveMirroring(ctx context.Context, d *Door, u control.SandboxUser, sandboxID, request string) (string, error) {
	actions, err := parseRemoveRequest(request)
	if err != nil {
		return "", err
	}
	results, err := d.Backend.RemoveMirroring(ctx, u, sandboxID, actions)
	if err != nil {
		return "", err
	}
	return driverResponse(removeMirroring, results), nil
}
