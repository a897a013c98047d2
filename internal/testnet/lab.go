package testnet

import "net/netip"

// LabPrefix begins the names of the namespaces of `sluice lab`.
const LabPrefix = "sluice-"

// LabNetwork is the lab: a gateway that forwards between a client, a server and a
// sensor.
type LabNetwork struct {
	Topology
	Client, Server, Sensor, Gateway string // names of namespaces
}

// LabHost is one of the three hosts around the gateway, with the addresses of its
// only device.
type LabHost struct {
	Netns      string
	Device     string // in the host
	Link       string // the gateway's device towards it
	IPv4, IPv6 netip.Addr
}

// The MTUs of the lab's links, in bytes. The sensor's is larger since copies reach
// it inside tunnels.
const (
	labMTU       = 1500
	labSensorMTU = 9000
)

// Lab describes the lab with a prefix for the names of its namespaces; nothing is
// made before Create.
func Lab(prefix string) LabNetwork {
	n := LabNetwork{
		Client: prefix + "client", Server: prefix + "server",
		Sensor: prefix + "sensor", Gateway: prefix + "gateway",
	}
	n.Nodes = []Node{{Netns: n.Gateway, Forward: true}}
	for i, h := range n.Hosts() {
		mtu := labMTU
		if h.Netns == n.Sensor {
			mtu = labSensorMTU
		}
		v4, v6 := labAddress(i, 1)
		n.Nodes = append(n.Nodes, Node{Netns: h.Netns, Gateways: []netip.Addr{v4, v6}})
		n.Links = append(n.Links, Link{
			A:   labEnd(h.Netns, h.Device, h.IPv4, h.IPv6),
			B:   labEnd(n.Gateway, h.Link, v4, v6),
			MTU: mtu,
		})
	}
	return n
}

// Hosts returns client, server and sensor, in that order.
func (n LabNetwork) Hosts() []LabHost {
	hosts := []LabHost{
		{Netns: n.Client, Link: "client0"},
		{Netns: n.Server, Link: "server0"},
		{Netns: n.Sensor, Link: "sensor0"},
	}
	for i := range hosts {
		hosts[i].Device = "eth0"
		hosts[i].IPv4, hosts[i].IPv6 = labAddress(i, 2)
	}
	return hosts
}

// labAddress returns 10.77.(network+1).host and fd77:(network+1)::host.
func labAddress(network int, host byte) (v4, v6 netip.Addr) {
	n := byte(network + 1)
	v6bytes := [16]byte{0: 0xfd, 1: 0x77, 3: n, 15: host}
	return netip.AddrFrom4([4]byte{10, 77, n, host}), netip.AddrFrom16(v6bytes)
}

func labEnd(netns, device string, v4, v6 netip.Addr) End {
	return End{Netns: netns, Device: device, Addresses: []netip.Prefix{
		netip.PrefixFrom(v4, 24), netip.PrefixFrom(v6, 64),
	}}
}
