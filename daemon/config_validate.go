package daemon

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var (
	regionPattern   = regexp.MustCompile(`^[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}$`)
	accountPattern  = regexp.MustCompile(`^[0-9]{12}$`)
	subnetPattern   = regexp.MustCompile(`^subnet-([0-9a-f]{8}|[0-9a-f]{17})$`)
	instancePattern = regexp.MustCompile(`^i-([0-9a-f]{8}|[0-9a-f]{17})$`)
	zonePattern     = regexp.MustCompile(`^[a-z0-9]*(-[a-z0-9]+)*[a-z]$`)
)

// The bounds of the flow table, in entries. The upper one is a table of about
// nine gigabytes.
const (
	minFlows = 1024
	maxFlows = 1 << 26
)

// validate checks what the types can't say. Problems carry the line of their key.
func (c *Config) validate(d *configDecoder) {
	if !regionPattern.MatchString(c.Region) {
		d.problem("region", "%q is not a region name such as eu-west-1", c.Region)
	}
	if !accountPattern.MatchString(c.AccountID) {
		d.problem("account_id", "%q is not twelve digits", c.AccountID)
	}
	requirePath(d, "state_dir", c.StateDir)
	requirePath(d, "bpffs", c.BPFFS)

	requireListen(d, "api.listen", c.API.Listen)
	if t := c.API.TLS; t != nil {
		requirePath(d, "api.tls.certificate", t.Certificate)
		requirePath(d, "api.tls.key", t.Key)
	}
	requireListen(d, "admin.listen", c.Admin.Listen)
	taken := map[string]string{}
	requireApart(d, taken, "api.listen", c.API.Listen)
	requireApart(d, taken, "admin.listen", c.Admin.Listen)
	if c.CloudShell != nil {
		c.CloudShell.validate(d, taken)
	}

	requireRange(d, "flow_table.max_flows", int64(c.FlowTable.MaxFlows), minFlows, maxFlows)
	if t := c.Operations.Deadline; t < time.Second || t > time.Hour {
		d.problem("operations.deadline", "%s is not between 1s and 1h", t)
	}
	requireRange(d, "operations.max_rows", c.Operations.MaxRows, 1, 100_000_000)
	requireRange(d, "limits.max_body_bytes", c.Limits.MaxBodyBytes, 1<<10, 1<<30)
	requireRange(d, "limits.firewalls", int64(c.Limits.Firewalls), 0, 100_000)
	requireRange(d, "limits.firewall_policies", int64(c.Limits.FirewallPolicies), 0, 100_000)
	requireRange(d, "limits.sandboxes", int64(c.Limits.Sandboxes), 0, maxSandboxes)
	requireRange(d, "limits.sandboxes_per_owner", int64(c.Limits.SandboxesPerOwner), 0, maxSandboxes)
	c.validateMirroring(d)
	c.validateInterfaces(d)
}

// validateInterfaces checks each entry and what several say of one thing.
func (c *Config) validateInterfaces(d *configDecoder) {
	if c.Interfaces != nil && len(c.Interfaces) == 0 {
		d.problem("interfaces", "an empty list leaves nothing to do; leave the key out to discover all")
	}
	devices := map[[2]string]int{}
	zones := map[string]string{} // of subnets and instances
	for i, n := range c.Interfaces {
		path := fmt.Sprintf("interfaces[%d]", i)
		if !validDevice(n.Device) {
			d.problem(path+".device", "%q is not the name of a device (1 to 15 characters, no slash, colon or space)", n.Device)
		}
		if n.Netns != "" && !validNetns(n.Netns) {
			d.problem(path+".netns", "%q is not the name of a network namespace", n.Netns)
		}
		if j, again := devices[[2]string{n.Netns, n.Device}]; again {
			d.problem(path, "the same device as interfaces[%d]", j)
		}
		devices[[2]string{n.Netns, n.Device}] = i
		zone := n.AvailabilityZone
		if zone == "" {
			zone = c.Region + "a"
		}
		if !zonePattern.MatchString(zone) || !strings.HasPrefix(zone, c.Region) || zone == c.Region {
			d.problem(path+".availability_zone", "%q is not a zone of %s such as %sa", zone, c.Region, c.Region)
		}
		if n.SubnetID != "" && !subnetPattern.MatchString(n.SubnetID) {
			d.problem(path+".subnet_id", "%q is not subnet- and 17 hexadecimal digits in lower case", n.SubnetID)
		}
		if n.InstanceID != "" && !instancePattern.MatchString(n.InstanceID) {
			d.problem(path+".instance_id", "%q is not i- and 17 hexadecimal digits in lower case", n.InstanceID)
		}
		for key, id := range map[string]string{"subnet_id": n.SubnetID, "instance_id": n.InstanceID} {
			if other, again := zones[id]; id != "" && again && other != zone {
				d.problem(path+"."+key, "%s is in %s by another entry, and in %s by this one", id, other, zone)
			}
			zones[id] = zone
		}
	}
}

// validDevice follows dev_valid_name of the kernel.
func validDevice(s string) bool {
	return s != "" && len(s) <= 15 && s != "." && s != ".." && !strings.ContainsAny(s, "/: \t\n\v\f\r\x00")
}

// validNetns tells whether s is a plain file name.
func validNetns(s string) bool {
	return len(s) <= 255 && s != "." && s != ".." && !strings.ContainsAny(s, "/\x00")
}

func requirePath(d *configDecoder, key, path string) {
	if !filepath.IsAbs(path) {
		d.problem(key, "%q is not an absolute path", path)
	}
}

func requireRange(d *configDecoder, key string, n, from, to int64) {
	if n < from || n > to {
		d.problem(key, "%d is not between %d and %d", n, from, to)
	}
}

// requireListen wants host:port with a numeric or empty host: a name would be
// resolved once and then forgotten.
func requireListen(d *configDecoder, key, s string) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		d.problem(key, "%q is not of the form host:port", s)
		return
	}
	if host != "" && host != "localhost" {
		if _, err := netip.ParseAddr(host); err != nil {
			d.problem(key, "%q is not an IP address", host)
		}
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		d.problem(key, "%q is not a port from 0 to 65535", port)
	}
}

// requireApart refuses one address for two servers; port 0 is always a new one.
func requireApart(d *configDecoder, taken map[string]string, key, s string) {
	if other, again := taken[s]; again && !strings.HasSuffix(s, ":0") {
		d.problem(key, "%s is taken by %s", s, other)
	}
	taken[s] = key
}

// Loopback tells whether a listen address can be reached from this host alone.
func Loopback(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// EndpointURL is the URL that clients on this host reach a listener under. An
// unspecified address becomes the loopback one.
func EndpointURL(address string, tls bool) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", fmt.Errorf("parse address %q: %w", address, err)
	}
	if a, err := netip.ParseAddr(host); host == "" || err == nil && a.IsUnspecified() {
		host = "127.0.0.1"
		if err == nil && a.Is6() {
			host = "::1"
		}
	}
	scheme := "http"
	if tls {
		scheme = "https"
	}
	return scheme + "://" + net.JoinHostPort(host, port), nil
}
