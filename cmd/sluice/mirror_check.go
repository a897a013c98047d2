package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"sluice"
	"sluice/inventory"
)

// The results of a step.
const (
	stepOK      = "ok"
	stepFailed  = "FAILED"
	stepUnknown = "unknown" // can't be seen from here
	stepWarning = "warning" // copies arrive, and something about them should be known
)

// checkStep is one step of the way from source to target.
type checkStep struct{ Step, Result, Detail string }

func mirrorCheck(ctx context.Context, s *shell, args []string) error {
	f := newFlags("sluice mirror check", "SESSION", "Proves a session: sends two probe packets out of its source and follows their copies to\nthe target. Says at which step they are lost: source, target, filter, copy, route, way, arrival,\nport, size.")
	var conn connection
	wait := f.Duration("wait", 2*time.Second, "how much `TIME` a copy has to arrive")
	conn.register(f)
	f.notes = `Run it as root on the source's host. The probes leave the source for an address that
nobody has, with hop limit 1. What happens at a target on another host is only known
as far as its answers tell; a packet filter of the target itself is not seen.`
	operands, err := f.parse(s, args, 1, 1)
	if err != nil {
		return err
	}
	if err := conn.check(f); err != nil {
		return err
	}
	if *wait <= 0 {
		return usagef(f.command, "--wait wants more than 0")
	}
	if os.Geteuid() != 0 {
		return errors.New("check sends and watches packets: run it as root (sudo)")
	}
	c, err := conn.client(ctx, s)
	if err != nil {
		return err
	}
	config, _, err := findConfig(conn.configFile, configSearch())
	if err != nil {
		return err
	}
	k := &mirrorChecker{ec2: ec2{c.config}, wait: *wait, groups: targetGroups(config)}
	if k.metrics, err = conn.metrics(s); err != nil {
		return err
	}
	if k.host, err = inventory.HostID(config.StateDir); err != nil {
		return err
	}
	p := startProgress(s.stderr, "following a probe")
	err = k.run(ctx, operands[0])
	p.done()
	if err != nil {
		return err
	}
	return k.print(s, &conn)
}

// mirrorChecker follows a probe through one session.
type mirrorChecker struct {
	ec2     ec2
	metrics metricsReader
	host    string // of this process
	wait    time.Duration
	groups  []sluice.TargetGroup

	session   mirrorSession
	source    networkInterface
	receivers []copyReceiver // where copies can go: one, or the members of a group
	steps     []checkStep
}

func (k *mirrorChecker) say(step, result, format string, args ...any) {
	k.steps = append(k.steps, checkStep{step, result, fmt.Sprintf(format, args...)})
}

func (k *mirrorChecker) failed() bool {
	return slices.ContainsFunc(k.steps, func(s checkStep) bool { return s.Result == stepFailed })
}

func (k *mirrorChecker) print(s *shell, conn *connection) error {
	if conn.json() {
		if err := writeJSON(s.stdout, map[string]any{"TrafficMirrorSessionId": k.session.ID, "Steps": k.steps, "OK": !k.failed()}); err != nil {
			return err
		}
	} else {
		t := &table{columns: []column{{heading: "STEP"}, {heading: "RESULT"}, {heading: "WHAT WAS SEEN"}}}
		for _, step := range k.steps {
			t.add(step.Step, step.Result, step.Detail)
		}
		if err := t.write(s.stdout, ""); err != nil {
			return err
		}
	}
	if i := slices.IndexFunc(k.steps, func(step checkStep) bool { return step.Result == stepFailed }); i >= 0 {
		return fmt.Errorf("session %s fails at the step %s", k.session.ID, k.steps[i].Step)
	}
	return nil
}

// run goes the way step by step, and ends at the first that nothing passes.
func (k *mirrorChecker) run(ctx context.Context, id string) error {
	var err error
	if k.session, err = findSession(ctx, k.ec2, id); err != nil {
		return err
	}
	all, err := describeInterfaces(ctx, k.ec2)
	if err != nil {
		return err
	}
	target, err := findTarget(ctx, k.ec2, k.session.TargetID)
	if err != nil {
		return err
	}
	device, ok, err := k.checkSource(all)
	if err != nil || !ok {
		return err
	}
	if ok, err := k.checkTarget(all, target); err != nil || !ok {
		return err
	}
	p, ok, err := k.checkFilter(ctx)
	if err != nil || !ok {
		return err
	}
	return k.follow(ctx, p, device)
}

// checkSource looks whether the source is where a probe can be sent from.
func (k *mirrorChecker) checkSource(all interfaces) (device net.Interface, ok bool, err error) {
	k.source, ok = all.find(k.session.InterfaceID)
	if !ok {
		k.say("source", stepFailed, "interface %s is not there", k.session.InterfaceID)
		return device, false, nil
	}
	host, netns, name := k.source.place()
	if host != k.host {
		return device, false, fmt.Errorf("the source %s is on host %s: run the check there", k.source.ID, host)
	}
	device, problem := deviceOf(netns, name)
	if problem != "" {
		k.say("source", stepFailed, "%s %s", k.source.name(), problem)
		return device, false, nil
	}
	if len(device.HardwareAddr) != 6 {
		k.say("source", stepFailed, "%s has no Ethernet address, so that no probe can be made for it", k.source.name())
		return device, false, nil
	}
	k.say("source", stepOK, "%s is up, MTU %d", k.source.name(), device.MTU)
	return device, true, nil
}

// checkFilter finds a packet that leaves the source and is this session's to copy.
func (k *mirrorChecker) checkFilter(ctx context.Context) (probe, bool, error) {
	sessions, err := describeSessions(ctx, k.ec2, ec2Filter(url.Values{}, "network-interface-id", k.session.InterfaceID))
	if err != nil {
		return probe{}, false, err
	}
	slices.SortFunc(sessions, func(a, b mirrorSession) int { return a.Number - b.Number })
	filters := map[string]mirrorFilter{}
	for _, s := range sessions {
		if filters[s.FilterID], err = findFilter(ctx, k.ec2, s.FilterID); err != nil {
			return probe{}, false, err
		}
	}
	problem := ""
	for _, r := range k.probeRules(filters[k.session.FilterID].Egress) {
		p, ok := r.probeFor(k.source.addresses())
		if !ok {
			return probe{}, false, fmt.Errorf("read rule %s", r.ID)
		}
		i := firstSession(sessions, filters, p)
		if i >= 0 && sessions[i].ID == k.session.ID {
			k.say("filter", stepOK, "%s lets the probe through: %s", r, p)
			return p, true, nil
		}
		if problem != "" {
			continue // the first rule's reason is told
		}
		problem = fmt.Sprintf("an earlier rule rejects %s", p)
		if i >= 0 {
			problem = fmt.Sprintf("session %s, number %d, is asked first and takes %s", sessions[i].ID, sessions[i].Number, p)
		}
	}
	if problem == "" {
		problem = "no rule accepts packets that leave the source"
		if len(filters[k.session.FilterID].Ingress) > 0 {
			return probe{}, false, k.watchIngress(ctx)
		}
	}
	k.say("filter", stepFailed, "%s", problem)
	return probe{}, false, nil
}

// probeRules are the rules that may let a probe through: those of the address families
// that the source has, since it sends no others of its own. Where there are none, it
// may forward what the others speak of.
func (k *mirrorChecker) probeRules(egress []mirrorRule) []mirrorRule {
	own := k.source.addresses()
	var accepting, ofSource []mirrorRule
	for _, r := range egress {
		if r.Action != sluice.MirrorAccept {
			continue
		}
		accepting = append(accepting, r)
		v6 := strings.Contains(r.SourceCIDR, ":")
		if slices.ContainsFunc(own, func(a netip.Addr) bool { return a.Is6() == v6 }) {
			ofSource = append(ofSource, r)
		}
	}
	if len(ofSource) > 0 {
		return ofSource
	}
	return accepting
}

// watchIngress is what is left for a session that copies only what arrives at its
// source: a probe can be made to leave a device, not to arrive there.
func (k *mirrorChecker) watchIngress(ctx context.Context) error {
	before, err := k.counters(ctx)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(k.wait):
	}
	after, err := k.counters(ctx)
	if err != nil {
		return err
	}
	n := after.Ingress.Mirrored.Packets - before.Ingress.Mirrored.Packets
	const why = "the filter accepts only what arrives at the source, where no probe can be sent"
	if n == 0 {
		k.say("filter", stepFailed, "%s, and no packet was mirrored within %s: let traffic flow, and check again", why, k.wait)
		return nil
	}
	k.say("filter", stepOK, "%s; mirrored meanwhile, of the live traffic: %s", why, count(int64(n), "packet"))
	k.say("arrival", stepUnknown, "not followed: sluice receive at the target tells")
	return nil
}

// addresses are the source's own.
func (n networkInterface) addresses() []netip.Addr {
	var out []netip.Addr
	if a, err := netip.ParseAddr(n.IPv4); err == nil {
		out = append(out, a)
	}
	for _, v6 := range n.IPv6 {
		if a, err := netip.ParseAddr(v6.Address); err == nil {
			out = append(out, a)
		}
	}
	return out
}

func (k *mirrorChecker) counters(ctx context.Context) (sluice.SessionCounters, error) {
	now, err := k.metrics.read(ctx)
	return now.sessions[k.session.ID], err
}
