package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"sluice"
)

// mirrorWait is how long create waits: agents need milliseconds.
const mirrorWait = 5 * time.Second

// numberTries bounds how often the next free number is looked for when somebody
// else takes it meanwhile.
const numberTries = 5

// mirrorPlan is the command line of mirror create.
type mirrorPlan struct {
	source, target, filter, description string
	matches                             stringList
	number, packetLength, vni           int
	dns                                 bool
	packetsPerSecond, bytesPerSecond    uint64
}

func mirrorCreate(ctx context.Context, s *shell, args []string) error {
	f := newFlags("sluice mirror create", "", "Makes a session that copies packets of a source to a target, and with it the target\nand the filter where they are not there yet. Waits until packets meet it.")
	var conn connection
	var plan mirrorPlan
	f.StringVar(&plan.source, "source", "", "`INTERFACE` whose packets are copied")
	f.StringVar(&plan.target, "target", "", "`INTERFACE` that gets the copies, a target's tmt-id, or the name or ARN of a target group")
	f.StringVar(&plan.filter, "filter", "", "`TMF-ID` of a filter that is there (default: one is made, of --match)")
	f.Var(&plan.matches, "match", "`MATCH` (see below), may be repeated")
	f.BoolVar(&plan.dns, "dns", false, "mirror the traffic with the network's resolver too")
	f.IntVar(&plan.number, "number", 0, "session `NUMBER`: smaller ones are asked first (default the next free one)")
	f.IntVar(&plan.packetLength, "packet-length", 0, "copy only the first `BYTES` of each frame (default all)")
	f.IntVar(&plan.vni, "vni", -1, "VXLAN network `IDENTIFIER` (default a random one)")
	f.Uint64Var(&plan.packetsPerSecond, "max-packets", 0, "copy at most `N` packets per second")
	f.Uint64Var(&plan.bytesPerSecond, "max-bytes", 0, "copy at most `N` bytes per second")
	f.StringVar(&plan.description, "description", "", "`TEXT` to keep with it")
	noWait := f.Bool("no-wait", false, "do not wait until packets meet it")
	conn.register(f)
	f.notes = matchNotes
	if _, err := f.parse(s, args, 0, 0); err != nil {
		return err
	}
	if err := conn.check(f); err != nil {
		return err
	}
	if plan.source == "" || plan.target == "" {
		return usagef(f.command, "%s needs --source and --target", f.command)
	}
	if err := plan.refuseDefaults(f); err != nil {
		return err
	}
	if plan.filter != "" && (len(plan.matches) > 0 || plan.dns) {
		return usagef(f.command, "--filter stands alone: its rules are there already")
	}
	rules, err := matchRules(plan.matches)
	if err != nil {
		return usagef(f.command, "%s", err)
	}
	c, err := conn.client(ctx, s)
	if err != nil {
		return err
	}
	if plan.target, err = groupARN(plan.target, conn.configFile); err != nil {
		return err
	}
	p := startProgress(s.stderr, "making a session")
	id, err := createMirror(ctx, ec2{c.config}, plan, rules)
	if err == nil && !*noWait {
		err = awaitMirror(ctx, s, &conn, ec2{c.config}, id)
	}
	p.done()
	if err == nil {
		err = showMirror(ctx, s, &conn, ec2{c.config}, id)
	}
	if err != nil && id != "" {
		fmt.Fprintf(s.stderr, "session %s is made and stays: sluice mirror delete %s removes it\n", id, id)
	}
	return err
}

// refuseDefaults refuses values that are given and would mean the same as none at all:
// a script's mistake must not become "all" or "any".
func (p *mirrorPlan) refuseDefaults(f *flags) error {
	for _, c := range []struct {
		name  string
		unset bool
		want  string
	}{
		{"number", p.number == 0, fmt.Sprintf("a number from 1 to %d", sluice.MaxSessionNumber)},
		{"packet-length", p.packetLength == 0, "at least 1 byte"},
		{"vni", p.vni == -1, fmt.Sprintf("a number from 0 to %d", sluice.MaxVirtualNetworkID)},
		{"max-packets", p.packetsPerSecond == 0, "at least 1 packet per second"},
		{"max-bytes", p.bytesPerSecond == 0, "at least 1 byte per second"},
	} {
		if c.unset && f.given(c.name) {
			return usagef(f.command, "--%s wants %s; leave it out for the default", c.name, c.want)
		}
	}
	return nil
}

// groupARN returns the ARN of a target group that is named as in the configuration,
// and any other name as it is.
func groupARN(target, configFile string) (string, error) {
	config, _, err := findConfig(configFile, configSearch())
	if err != nil {
		return "", err
	}
	for _, g := range targetGroups(config) {
		if g.Name == target {
			return g.Arn, nil
		}
	}
	return target, nil
}

// awaitMirror waits until packets meet a session. That its device is not there is no
// failure: it is mirrored when it comes.
func awaitMirror(ctx context.Context, s *shell, conn *connection, e ec2, id string) error {
	session, err := findSession(ctx, e, id)
	if err != nil {
		return err
	}
	reader, err := conn.metrics(s)
	if err != nil {
		return nil // said when the counters are shown
	}
	inForce, err := reader.awaitSession(ctx, session, mirrorWait)
	if err != nil || inForce {
		return err
	}
	why, err := whyNotInForce(ctx, e, reader, session)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.stderr, "session %s is made, and not in force after %s: %s\n", id, mirrorWait, why)
	return nil
}

// whyNotInForce says what is known of a session that packets don't meet.
func whyNotInForce(ctx context.Context, e ec2, reader metricsReader, session mirrorSession) (string, error) {
	all, err := describeInterfaces(ctx, e)
	if err != nil {
		return "", err
	}
	n, ok := all.find(session.InterfaceID)
	if !ok {
		return fmt.Sprintf("its source %s is not there any more; it is mirrored when it comes back", session.InterfaceID), nil
	}
	if n.Status == statusAway {
		return fmt.Sprintf("the device of its source %s is not there; it is mirrored when it comes", n.name()), nil
	}
	now, err := reader.read(ctx)
	if err != nil {
		return "", err
	}
	attached, told := now.attached[session.InterfaceID]
	switch {
	case !told:
		return fmt.Sprintf("the host of its source %s has not said anything of it yet", n.name()), nil
	case !attached:
		return fmt.Sprintf("the device of its source %s has just gone, or takes no program: the server's log tells which", n.name()), nil
	}
	return fmt.Sprintf("packets of its source %s meet sessions, but not this one yet", n.name()), nil
}

// createMirror makes what the plan needs. When something fails, what was made
// before is removed again.
func createMirror(ctx context.Context, e ec2, plan mirrorPlan, rules []mirrorRule) (id string, err error) {
	all, err := describeInterfaces(ctx, e)
	if err != nil {
		return "", err
	}
	source, err := all.resolve(plan.source)
	if err != nil {
		return "", fmt.Errorf("--source: %w", err)
	}
	var undo cleanups
	defer func() {
		if err != nil {
			err = errors.Join(err, undo.run())
		}
	}()
	target, err := targetFor(ctx, e, plan, all, &undo)
	if err != nil {
		return "", err
	}
	filter := plan.filter
	if filter == "" {
		if filter, err = makeFilter(ctx, e, plan, rules, &undo); err != nil {
			return "", err
		}
	}
	return makeSession(ctx, e, plan, source.ID, target, filter)
}

// targetFor returns the target that the plan names; one is made where there is none.
func targetFor(ctx context.Context, e ec2, plan mirrorPlan, all interfaces, undo *cleanups) (string, error) {
	if strings.HasPrefix(plan.target, "tmt-") {
		return plan.target, nil
	}
	create, filter, value := url.Values{}, "network-load-balancer-arn", plan.target
	if isARN(plan.target) {
		create.Set("NetworkLoadBalancerArn", plan.target)
	} else {
		n, err := all.resolve(plan.target)
		if err != nil {
			return "", fmt.Errorf("--target: %w", err)
		}
		create.Set("NetworkInterfaceId", n.ID)
		filter, value = "network-interface-id", n.ID
	}
	found, err := describeTargets(ctx, e, ec2Filter(url.Values{}, filter, value))
	if err != nil {
		return "", err
	}
	if len(found) > 0 {
		return found[0].ID, nil
	}
	setTags(create, "traffic-mirror-target", []ec2Tag{madeBy})
	var made struct {
		ID string `xml:"trafficMirrorTarget>trafficMirrorTargetId"`
	}
	if err := e.call(ctx, "CreateTrafficMirrorTarget", create, &made); err != nil {
		return "", err
	}
	undo.add("target "+made.ID, func(ctx context.Context) error {
		return e.call(ctx, "DeleteTrafficMirrorTarget", url.Values{"TrafficMirrorTargetId": {made.ID}}, nil)
	})
	return made.ID, nil
}

func makeFilter(ctx context.Context, e ec2, plan mirrorPlan, rules []mirrorRule, undo *cleanups) (string, error) {
	create := url.Values{}
	if len(plan.matches) > 0 {
		create.Set("Description", strings.Join(plan.matches, " or "))
	}
	setTags(create, "traffic-mirror-filter", []ec2Tag{madeBy})
	var made struct {
		ID string `xml:"trafficMirrorFilter>trafficMirrorFilterId"`
	}
	if err := e.call(ctx, "CreateTrafficMirrorFilter", create, &made); err != nil {
		return "", err
	}
	undo.add("filter "+made.ID, func(ctx context.Context) error {
		return e.call(ctx, "DeleteTrafficMirrorFilter", url.Values{"TrafficMirrorFilterId": {made.ID}}, nil)
	})
	for _, r := range rules {
		if err := e.call(ctx, "CreateTrafficMirrorFilterRule", r.parameters(made.ID), nil); err != nil {
			return "", err
		}
	}
	if !plan.dns {
		return made.ID, nil
	}
	return made.ID, e.call(ctx, "ModifyTrafficMirrorFilterNetworkServices",
		url.Values{"TrafficMirrorFilterId": {made.ID}, "AddNetworkService.1": {"amazon-dns"}}, nil)
}

// makeSession makes the session, under the next free number where none is given.
func makeSession(ctx context.Context, e ec2, plan mirrorPlan, source, target, filter string) (string, error) {
	create := url.Values{"NetworkInterfaceId": {source}, "TrafficMirrorTargetId": {target}, "TrafficMirrorFilterId": {filter}}
	if plan.packetLength != 0 {
		create.Set("PacketLength", strconv.Itoa(plan.packetLength))
	}
	if plan.vni != -1 {
		create.Set("VirtualNetworkId", strconv.Itoa(plan.vni))
	}
	if plan.description != "" {
		create.Set("Description", plan.description)
	}
	var tags []ec2Tag
	if plan.packetsPerSecond > 0 {
		tags = append(tags, ec2Tag{sluice.TagPacketsPerSecond, strconv.FormatUint(plan.packetsPerSecond, 10)})
	}
	if plan.bytesPerSecond > 0 {
		tags = append(tags, ec2Tag{sluice.TagBytesPerSecond, strconv.FormatUint(plan.bytesPerSecond, 10)})
	}
	setTags(create, "traffic-mirror-session", tags)
	for try := 1; ; try++ {
		number := plan.number
		if number == 0 {
			var err error
			if number, err = freeNumber(ctx, e, source); err != nil {
				return "", err
			}
		}
		create.Set("SessionNumber", strconv.Itoa(number))
		var made struct {
			ID string `xml:"trafficMirrorSession>trafficMirrorSessionId"`
		}
		err := e.call(ctx, "CreateTrafficMirrorSession", create, &made)
		taken := isCode(err, "InvalidParameterValue") && strings.Contains(describeError(err), "already being used")
		if plan.number == 0 && taken && try < numberTries {
			continue
		}
		return made.ID, err
	}
}

// freeNumber is the smallest session number that no session of the source has.
func freeNumber(ctx context.Context, e ec2, source string) (int, error) {
	sessions, err := describeSessions(ctx, e, ec2Filter(url.Values{}, "network-interface-id", source))
	if err != nil {
		return 0, err
	}
	used := map[int]bool{}
	for _, s := range sessions {
		used[s.Number] = true
	}
	for n := 1; n <= sluice.MaxSessionNumber; n++ {
		if !used[n] {
			return n, nil
		}
	}
	return 0, fmt.Errorf("every session number of %s is taken", source)
}
