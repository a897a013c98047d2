package api

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice"
	"sluice/control"
)

// without is an inventory of 20 interfaces some of whose devices are away.
func without(away ...int) sluice.Inventory {
	inv := manyInterfaces(20)
	for _, n := range away {
		inv.Interfaces[n-1].Index, inv.Interfaces[n-1].Up = 0, false
	}
	return inv
}

func TestAnInterfaceWhoseDeviceIsAwayIsAttachedToNothing(t *testing.T) {
	d := prepared(t, nil)
	d.keep("s", "trafficMirrorSessionId", session(1, 1, ""))
	d.inventory.set(without(1, 2, 20))

	away := d.ok("DescribeNetworkInterfaces?NetworkInterfaceId.1=" + eni(2)).body
	if got := elements(away, "status"); !cmp.Equal(got, []string{"available"}) || strings.Contains(away, "<attachment>") {
		t.Errorf("an interface that is away: %s", away)
	}
	there := d.ok("DescribeNetworkInterfaces?NetworkInterfaceId.1=" + eni(3)).body
	if got := elements(there, "status"); !cmp.Equal(got, []string{"in-use", "attached"}) {
		t.Errorf("status of one that is there: %v", got)
	}
	for filter, want := range map[string]int{"status&Filter.1.Value.1=available": 3, "attachment.status&Filter.1.Value.1=attached": 18, "attachment.instance-id&Filter.1.Value.1=" + instanceA: 17} {
		got := elements(d.ok("DescribeNetworkInterfaces?Filter.1.Name="+filter).body, "networkInterfaceId")
		if len(got) != want {
			t.Errorf("%s: %v", filter, got)
		}
	}
	instance := d.ok("DescribeInstances?InstanceId.1=" + instanceA).body
	if got := len(elements(instance, "networkInterfaceId")); got != 17 {
		t.Errorf("the instance has %d interfaces", got)
	}

	d.refused(session(2, 1, ""), 400, "NetworkInterfaceNotSupported", eni(2)+" must be attached to a supported instance")
	d.refused(session(3, 1, ""), 400, "InvalidTrafficMirrorTarget", "The interface ID '"+eni(20)+"' does not exist")
	d.refused("CreateTrafficMirrorTarget?NetworkInterfaceId="+eni(2), 400, "InvalidTrafficMirrorTarget", "The interface ID '"+eni(2)+"' does not exist")
	d.keep("m", "trafficMirrorTargetId", "CreateTrafficMirrorTarget?NetworkInterfaceId="+eni(5))

	// What there is stays, and can be changed while its source and its target are away.
	const modify = "ModifyTrafficMirrorSession?TrafficMirrorSessionId={s}"
	d.ok(modify + "&Description=waits")
	d.ok(modify + "&TrafficMirrorTargetId={t}")
	d.ok(modify + "&TrafficMirrorTargetId={m}")
	d.refused(modify+"&TrafficMirrorTargetId={t}", 400, "InvalidTrafficMirrorTarget", "The interface ID '"+eni(20)+"' does not exist")
	d.inventory.set(without())
	d.ok(modify + "&TrafficMirrorTargetId={t}")
	d.ok(session(2, 1, ""))
}

func TestASessionNeverCopiesToItsOwnSource(t *testing.T) {
	groups := func(o *control.Options) {
		for i, members := range [][]string{{eni(7), eni(3)}, {"10.77.1.12", eni(7)}, {"::ffff:10.77.1.12"}} { // interface 3 has 10.77.1.12
			o.TargetGroups = append(o.TargetGroups, sluice.TargetGroup{Name: fmt.Sprint("loop", i), Members: members,
				Arn: strings.Replace(groupArn, "sensors", fmt.Sprint("loop", i), 1)})
		}
	}
	d := prepared(t, groups)
	const modify = "ModifyTrafficMirrorSession?TrafficMirrorSessionId={s}"
	d.keep("s", "trafficMirrorSessionId", session(3, 1, ""))
	d.keep("own", "trafficMirrorTargetId", "CreateTrafficMirrorTarget?NetworkInterfaceId="+eni(3))
	inUse := eni(3) + " is in use by target "
	d.refused(modify+"&TrafficMirrorTargetId={own}", 400, invalid, inUse+"{own}")
	d.ok(modify + "&Description=x") // that a target stands for its source bars no other change
	d.ok("DeleteTrafficMirrorTarget?TrafficMirrorTargetId={own}")
	for i := range 3 {
		d.keep("g", "trafficMirrorTargetId", "CreateTrafficMirrorTarget?NetworkLoadBalancerArn="+strings.Replace(groupArn, "sensors", fmt.Sprint("loop", i), 1))
		d.refused(modify+"&TrafficMirrorTargetId={g}", 400, invalid, inUse+"{g}")
		d.refused(strings.Replace(session(3, 9, ""), "{t}", "{g}", 1), 400, invalid, inUse+"{g}")
		d.ok(strings.Replace(session(4, int32(i+1), ""), "{t}", "{g}", 1))
	}
	d.ok(modify + "&TrafficMirrorTargetId={n}")
}

func TestTagsThatLookLikeCapsAreCaps(t *testing.T) {
	d := prepared(t, nil)
	message := func(key string) string {
		return "Tag key '" + key + "' is not known; of the keys that begin with 'sluice:', a session can have sluice:packets-per-second and sluice:bytes-per-second"
	}
	d.refused(session(1, 1, tagged("sluice:packet-per-second=5")), 400, invalid, message("sluice:packet-per-second"))
	d.refused(session(1, 1, tagged("Sluice:Packets-Per-Second=5")), 400, invalid, message("Sluice:Packets-Per-Second"))
	d.keep("s", "trafficMirrorSessionId", session(1, 1, tagged("sluice:packets-per-second=5", "sluice=1")))
	const tag = "CreateTags?ResourceId.1={s}&Tag.1.Value=5&Tag.1.Key="
	d.refused(tag+"sluice:bytes", 400, invalid, message("sluice:bytes"))
	d.refused(tag+"sluice:bytes-per-second", 400, invalid, "Value (5) for parameter Tag sluice:bytes-per-second is invalid. Expecting at least 1000 bytes per second, or 0 for no cap.")
	d.ok(tag + "a")
	d.ok("CreateTags?ResourceId.1={t}&Tag.1.Key=sluice:bytes&Tag.1.Value=5") // elsewhere it is a key like any other
}

func TestAParameterIsGivenOnce(t *testing.T) {
	d := prepared(t, nil)
	d.refused("DescribeTrafficMirrorSessions?MaxResults=5&MaxResults=6", 400, "InvalidQueryParameter", "The parameter MaxResults is given more than once")
	d.refused(session(1, 1, "&SessionNumber=2"), 400, "InvalidQueryParameter", "The parameter SessionNumber is given more than once")
	d.refused("DescribeTrafficMirrorSessions?TrafficMirrorSessionId.1=a&TrafficMirrorSessionId.1=b", 400, "InvalidQueryParameter", "")
	d.refused("DescribeTrafficMirrorSessions?Action=DescribeVpcs", 400, "InvalidQueryParameter", "The parameter Action is given more than once")
}
