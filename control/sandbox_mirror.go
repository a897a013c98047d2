package control

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice"
)

// MaxMirroringActions bounds one request: an action takes some twenty writes of the one
// transaction that makes them all.
const MaxMirroringActions = 50

// mirroringPatience is how long CreateMirroring and RemoveMirroring wait for the agents
// to say that they have followed. They answer then all the same: an agent that is away
// does it when it is back.
const mirroringPatience = 5 * time.Second

// numberUnavailable is what the driver says of a session number that can't be had.
const numberUnavailable = `Was not able to find an available session number for %s.
Please note that session number must be between 1-32766 and unique for a particular source NIC.
To learn more, please see documentation at https://docs.aws.amazon.com/vpc/latest/mirroring/traffic-mirroring-session.html
Please also check logs at %%PROGRAMDATA%%\QualiSystems\logs\%s for additional information.`

// CreateMirroring makes the sessions of all actions or of none, in one step: a crash
// leaves nothing half-made. What fails before that is an error, for a number that can't
// be had too; what the parts of a session or a prerequisite fail for is told by every
// result.
func (c *Controller) CreateMirroring(ctx context.Context, u SandboxUser, id string, actions []CreateMirroringAction) ([]MirroringResult, error) {
	b, err := c.findSandbox(ctx, u, id)
	if err != nil {
		return nil, err
	}
	if len(actions) == 0 || len(actions) > MaxMirroringActions {
		return nil, SandboxErrorf(SandboxErrorDriver, "Invalid request: %d actions, expected 1 to %d", len(actions), MaxMirroringActions)
	}
	made, err := c.createMirrors(ctx, b.ID, actions)
	if err == nil {
		if err = c.awaitMirrors(ctx, made); err == nil {
			err = c.stillLives(ctx, b.ID)
		}
		if err != nil {
			if undone := c.removeMirrors(ctx, b.ID, made); undone != nil {
				return nil, fmt.Errorf("remove mirroring that failed: %w", undone)
			}
		}
	}
	results := make([]MirroringResult, len(actions))
	for i, a := range actions {
		results[i] = MirroringResult{ActionID: a.ActionID, Success: true, Info: "Success"}
		if err == nil {
			results[i].SessionID = made[i].Session.ID
		}
	}
	if err == nil {
		c.noteSilent(ctx, b.ID, actions, made)
		return results, nil
	}
	cause, err := c.mirroringFailure(b.ID, err)
	if err != nil {
		return nil, err
	}
	for i := range results {
		results[i].Success, results[i].Info, results[i].Error = false, cause, cause
	}
	return results, nil
}

// noteSilent says in the output of a sandbox which sessions mirror nothing. It is a
// hint: that it can't be written fails no request.
func (c *Controller) noteSilent(ctx context.Context, sandboxID string, actions []CreateMirroringAction, made []sluice.SandboxMirror) {
	for i, a := range actions {
		if len(a.Rules) > 0 {
			continue
		}
		hint := "Session " + made[i].Session.ID + " of " + a.SourceNIC + " has no filter rules: it mirrors nothing."
		c.o.Logger.Info("sandbox output", "sandbox", sandboxID, "message", hint)
		if err := c.o.Store.AddSandboxMessage(context.WithoutCancel(ctx), sandboxID, hint, c.o.Quotas.Sandboxes, c.dataOpen); err != nil {
			c.o.Logger.Error("write sandbox output", "sandbox", sandboxID, "error", err)
		}
	}
}

// mirroringFailure tells what the results of a request that failed say, or the error
// that it ends with instead.
func (c *Controller) mirroringFailure(sandboxID string, err error) (cause string, _ error) {
	var refused *SandboxError
	var known *sluice.Error
	switch {
	case errors.As(err, &refused) || !errors.As(err, &known):
		return "", err
	case known.Code == sluice.CodeSessionNumber:
		return "", SandboxErrorf(SandboxErrorDriver, numberUnavailable, known.Message, sandboxID)
	case known.Kind == sluice.KindInternal || known.Kind == sluice.KindThrottling:
		return "", err
	}
	q := c.o.Quotas.Mirror
	switch known.Code {
	case "TrafficMirrorSessionsPerInterfaceLimitExceeded":
		return fmt.Sprintf("%s: a source network interface can have %d sessions; remove one of its sessions first", known.Message, q.SessionsPerSource), nil
	case "TrafficMirrorSourcesPerTargetLimitExceeded":
		return fmt.Sprintf("%s: a target network interface can have sessions with %d sources; use another target, or remove sessions to this one first", known.Message, q.SourcesPerTarget), nil
	}
	return known.Message, nil
}

// createMirrors makes the mirrors of all actions or none.
func (c *Controller) createMirrors(ctx context.Context, sandboxID string, actions []CreateMirroringAction) ([]sluice.SandboxMirror, error) {
	rules := map[string][]MirroringRule{} // by session id
	plans := make([]sluice.SandboxMirror, len(actions))
	for i, a := range actions {
		p := &plans[i]
		p.Target = sluice.TrafficMirrorTarget{ID: sluice.NewID("tmt"), NetworkInterfaceID: a.TargetNIC}
		p.Filter.ID = sluice.NewID("tmf")
		p.Session = sluice.TrafficMirrorSession{ID: sluice.NewID("tms"), NetworkInterfaceID: a.SourceNIC, SessionNumber: a.SessionNumber}
		rules[p.Session.ID] = a.Rules
	}
	world := c.mirroringWorld()
	admit := func(b sluice.Sandbox) error {
		if c.living(b) != nil {
			return SandboxErrorf(SandboxErrorDriver, "Tried to checkout a session number for traffic mirroring, but reservation has already ended")
		}
		return nil
	}
	complete := func(b sluice.Sandbox, m sluice.SandboxMirror) (sluice.SandboxMirror, error) {
		from, to, err := world.check(b, m.Session.NetworkInterfaceID, m.Target.NetworkInterfaceID)
		if err != nil {
			return m, err
		}
		m.SourceInstance, m.TargetInstance = from.member.InstanceID, to.member.InstanceID
		return c.completeMirror(b, m, rules[m.Session.ID])
	}
	return c.o.Store.CreateSandboxMirrors(ctx, sandboxID, plans, c.o.Quotas.Mirror, admit, complete, c.checkReceiver, c.sessionCheck())
}

// completeMirror makes target, filter and session of a mirror whose number is known, as
// the operations of EC2 would make them. Names and tags are those of CloudShell's
// driver.
func (c *Controller) completeMirror(b sluice.Sandbox, m sluice.SandboxMirror, rules []MirroringRule) (sluice.SandboxMirror, error) {
	source, target, number := m.Session.NetworkInterfaceID, m.Target.NetworkInterfaceID, m.Session.SessionNumber
	path := strconv.Itoa(int(number)) + "_" + source + "_" + target
	t, err := c.askedTarget(CreateTrafficMirrorTargetInput{NetworkInterfaceID: target, Description: target})
	if err != nil {
		return m, err
	}
	f, err := CreateTrafficMirrorFilterInput{Description: "filter-" + path}.filter()
	if err != nil {
		return m, err
	}
	s, err := c.askedSession(CreateTrafficMirrorSessionInput{NetworkInterfaceID: source,
		MirrorSessionFields: MirrorSessionFields{TargetID: &m.Target.ID, FilterID: &m.Filter.ID, SessionNumber: &number, Description: &path}})
	if err != nil {
		return m, err
	}
	t.ID, f.ID, s.ID = m.Target.ID, m.Filter.ID, m.Session.ID
	for i, r := range rules {
		if r.Fault != "" {
			return m, sluice.Errorf(sluice.KindInvalidRequest, "%s", r.Fault)
		}
		asked, err := r.input(f.ID, i+1).rule()
		if err != nil {
			return m, err
		}
		asked.ID = sluice.NewID("tmfr")
		f.Rules = append(f.Rules, asked)
	}
	for _, tagged := range []struct {
		name string
		into *[]sluice.Tag
	}{{target, &t.Tags}, {"filter-" + path, &f.Tags}, {"session-" + path, &s.Tags}} {
		tags := sandboxTags(b, tagged.name)
		if err := checkEC2Tags(tags); err != nil {
			return m, err
		}
		*tagged.into = sortedTags(tags)
	}
	m.Target, m.Filter, m.Session = t, f, s
	return m, nil
}

// sandboxTags are the tags of what a sandbox makes.
func sandboxTags(b sluice.Sandbox, name string) []sluice.Tag {
	return []sluice.Tag{
		{Key: "Name", Value: name}, {Key: "CreatedBy", Value: "Cloudshell"}, {Key: "Blueprint", Value: b.Blueprint},
		{Key: "Owner", Value: b.Owner}, {Key: "Domain", Value: b.Domain}, {Key: "ReservationId", Value: b.ID},
	}
}

// input is the request of EC2 that a rule stands for.
func (r MirroringRule) input(filterID string, number int) CreateTrafficMirrorFilterRuleInput {
	in := CreateTrafficMirrorFilterRuleInput{FilterID: filterID, MirrorRuleFields: MirrorRuleFields{
		TrafficDirection: &r.Direction, RuleNumber: new(int32(number)), RuleAction: new(sluice.MirrorAccept), Protocol: &r.Protocol,
		SourceCIDR: new(anyNetwork(r.SourceCIDR, r.DestinationCIDR)), DestinationCIDR: new(anyNetwork(r.DestinationCIDR, r.SourceCIDR)),
		Description: new("filter_rule_" + strconv.Itoa(number) + "_" + filterID),
	}}
	if p := r.SourcePorts; p != nil {
		in.SourcePortRange = &MirrorPortRange{From: p.From, To: p.To}
	}
	if p := r.DestinationPorts; p != nil {
		in.DestinationPortRange = &MirrorPortRange{From: p.From, To: p.To}
	}
	return in
}

// anyNetwork is a network as given, or everything of the other's family.
func anyNetwork(s, other string) string {
	if s != "" {
		return s
	}
	if p, err := netip.ParsePrefix(other); err == nil && p.Addr().Is6() {
		return "::/0"
	}
	return "0.0.0.0/0"
}

// stillLives refuses mirroring of a sandbox that was ended while it was made: its end
// removes it, and nobody is to be told that it is there.
func (c *Controller) stillLives(ctx context.Context, sandboxID string) error {
	b, err := c.o.Store.Sandbox(ctx, sandboxID)
	if err != nil {
		return err
	}
	if c.living(b) != nil {
		return sluice.Errorf(sluice.KindInvalidOperation, "Traffic mirroring was removed again: the reservation has ended")
	}
	return nil
}

// awaitMirrors asks Run to publish what was made, and waits until the agents mirror it.
// Only a source that an agent says it can't mirror is an error.
func (c *Controller) awaitMirrors(ctx context.Context, made []sluice.SandboxMirror) error {
	c.mu.Lock()
	since := c.begun
	c.mu.Unlock()
	c.changed()
	return c.awaitAgents(ctx, func() (bool, error) { return c.unsettled(made, since) })
}

// awaitRemoved waits until the agents mirror none of the sessions any more, so that
// nothing arrives once a script has its answer.
func (c *Controller) awaitRemoved(ctx context.Context, removed []sluice.TrafficMirrorSession) error {
	inv := c.o.Inventory.Snapshot()
	var hosts []string
	for _, s := range removed {
		if n, ok := inv.Interface(s.NetworkInterfaceID); ok {
			hosts = append(hosts, n.HostID)
		}
	}
	return c.awaitFollowed(ctx, hosts)
}

// awaitFollowed waits until the store as it is now is published, and the agents of some
// hosts have followed. It asks Run to publish.
func (c *Controller) awaitFollowed(ctx context.Context, hosts []string) error {
	c.mu.Lock()
	since := c.begun
	c.mu.Unlock()
	c.changed()
	var revision int64 // that the agents have to reach; 0: not published yet
	return c.awaitAgents(ctx, func() (bool, error) {
		statuses := c.o.Fleet.Statuses()
		c.mu.Lock()
		defer c.mu.Unlock()
		if revision == 0 {
			if c.published.number <= since {
				return true, nil
			}
			revision = c.published.revision
		}
		return slices.ContainsFunc(statuses, func(s sluice.AgentStatus) bool {
			return slices.Contains(hosts, s.HostID) && s.Revision < revision
		}), nil
	})
}

// awaitAgents waits until nothing is waited for, or patience ends.
func (c *Controller) awaitAgents(ctx context.Context, waiting func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, mirroringPatience)
	defer cancel()
	// The desired state is published by Run, of which nothing tells: it is looked for.
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for {
		changed := c.o.Fleet.Changed()
		again, err := waiting()
		if err != nil || !again {
			return err
		}
		select {
		case <-changed:
		case <-look.C:
		case <-ctx.Done():
			c.o.Logger.Warn("agents have not said yet that they mirror what they are to")
			return nil
		}
	}
}

// unsettled tells whether an agent has not said yet what it thinks of a session, and
// what the first one says that refuses. A session that lacks in what was published after
// the publication since was removed meanwhile: nothing of it is to be waited for.
func (c *Controller) unsettled(made []sluice.SandboxMirror, since int64) (waiting bool, _ error) {
	inv, statuses := c.o.Inventory.Snapshot(), c.o.Fleet.Statuses()
	for _, m := range made {
		n, ok := inv.Interface(m.Session.NetworkInterfaceID)
		if !ok {
			continue // it has gone since; the session waits for it
		}
		c.mu.Lock()
		revision, published := c.published.sessions[m.Session.ID]
		removed := !published && c.published.number > since
		c.mu.Unlock()
		if removed {
			continue
		}
		at := slices.IndexFunc(statuses, func(s sluice.AgentStatus) bool { return s.HostID == n.HostID })
		if !published || at < 0 || statuses[at].Revision < revision {
			waiting = true
			continue
		}
		if err := agentRefuses(statuses[at], n); err != nil {
			return false, err
		}
	}
	return waiting, nil
}

// removeMirrors removes what one request has made, and nothing else.
func (c *Controller) removeMirrors(ctx context.Context, sandboxID string, made []sluice.SandboxMirror) error {
	ctx = context.WithoutCancel(ctx)
	var targets []string
	for _, m := range made {
		if m.TargetMade {
			targets = append(targets, m.Target.ID)
		}
	}
	_, err := c.o.Store.RemoveSandboxMirrors(ctx, sandboxID, func(s sluice.TrafficMirrorSession, _ sluice.TrafficMirrorTarget) bool {
		return slices.ContainsFunc(made, func(m sluice.SandboxMirror) bool { return m.Session.ID == s.ID })
	})
	if err == nil {
		err = c.o.Store.ReleaseSandboxTargets(ctx, sandboxID, targets)
	}
	c.changed()
	return err
}

// RemoveMirroring removes sessions that the sandbox made: those that actions name, and
// all to the targets that they name. Each action is judged by itself.
func (c *Controller) RemoveMirroring(ctx context.Context, u SandboxUser, id string, actions []RemoveMirroringAction) ([]MirroringResult, error) {
	b, err := c.findSandbox(ctx, u, id)
	if err != nil {
		return nil, err
	}
	receivers := map[string]string{} // of the sessions
	wants := func(a RemoveMirroringAction, session string) bool {
		return a.SessionID == session || a.TargetNIC != "" && a.TargetNIC == receivers[session]
	}
	removed, err := c.o.Store.RemoveSandboxMirrors(ctx, b.ID, func(s sluice.TrafficMirrorSession, t sluice.TrafficMirrorTarget) bool {
		receivers[s.ID] = t.NetworkInterfaceID
		return slices.ContainsFunc(actions, func(a RemoveMirroringAction) bool { return wants(a, s.ID) })
	})
	if err != nil {
		c.changed() // of what was removed all the same
		return nil, err
	}
	if len(removed) > 0 {
		if err := c.awaitRemoved(ctx, removed); err != nil {
			return nil, err
		}
	}
	results := make([]MirroringResult, len(actions))
	for i, a := range actions {
		var found []string
		for _, s := range removed {
			if wants(a, s.ID) {
				found = append(found, s.ID)
			}
		}
		results[i] = MirroringResult{ActionID: a.ActionID, Success: len(found) > 0}
		if results[i].Success {
			results[i].Info = "Found sessions: " + strings.Join(found, ", ") + "."
		} else {
			results[i].Error = "Failed to remove traffic mirroring: No sessions found to remove!"
		}
	}
	return results, nil
}
