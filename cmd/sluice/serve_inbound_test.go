package main

import (
	"testing"

	"sluice/daemon"
)

func TestCheckReadsInboundPorts(t *testing.T) {
	apps := []daemon.CloudShellApp{{Name: "a", InboundPorts: "22;4789:udp:10.0.0.0/8"}, {Name: "b", InboundPorts: "x"}}
	if err := checkInboundPorts([]daemon.CloudShellBlueprint{{Name: "n", Apps: apps[:1]}}); err != nil {
		t.Error(err)
	}
	err := checkInboundPorts([]daemon.CloudShellBlueprint{{Name: "n", Apps: apps}})
	const want = "cloudshell.blueprints[0].apps[1].inbound_ports: The value 'x' is not a valid ports rule"
	if err == nil || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
}
