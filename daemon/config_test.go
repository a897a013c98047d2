package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestConfigOfTheDesignIsRead(t *testing.T) {
	got, err := ParseConfig([]byte(`
region: eu-west-2
account_id: 000000000042 # without quotes its zeros stay
state_dir: /srv/sluice
bpffs: /run/bpf
api:
  listen: 0.0.0.0:7770
  tls: {certificate: /etc/sluice/tls.pem, key: /etc/sluice/tls.key}
admin: {listen: "[::1]:7771"}
cloudshell: {listen: ":8029"}
flow_table: {max_flows: 4096}
operations: {deadline: 90s, max_rows: 10}
limits: {max_body_bytes: 65536, firewalls: 3, firewall_policies: 4, mirror_filters: 5, mirror_targets: 6, mirror_sessions: 7,
  mirror_rules_per_filter: 8, mirror_sessions_per_source: 2, mirror_sources_per_target: 100, security_groups: 9, security_group_rules: 10}
resolvers: [192.0.2.53, "fd00::53"]
mirroring: {cpu_percent: 40}
target_groups:
  - name: sensors
    members: [eni-0123456789abcdef0, 192.0.2.7]
  - name: others
    arn: arn:aws:elasticloadbalancing:eu-west-2:000000000042:loadbalancer/net/others/0123456789abcdef
    members: ["fd00::7"]
interfaces:
  - device: r0
    netns: sluice-gateway
    availability_zone: eu-west-2b
    subnet_id: subnet-0123456789abcdef0
    instance_id: i-0123456789abcdef0
    firewall: false
  - device: eth0
`))
	if err != nil {
		t.Fatal(err)
	}
	no := false
	want := Config{
		Region: "eu-west-2", AccountID: "000000000042", StateDir: "/srv/sluice", BPFFS: "/run/bpf",
		API:        APIConfig{Listen: "0.0.0.0:7770", TLS: &TLSConfig{"/etc/sluice/tls.pem", "/etc/sluice/tls.key"}},
		Admin:      AdminConfig{Listen: "[::1]:7771"},
		CloudShell: &CloudShellConfig{Listen: ":8029"},
		FlowTable:  FlowTableConfig{MaxFlows: 4096},
		Operations: OperationsConfig{Deadline: 90 * time.Second, MaxRows: 10},
		Limits: LimitsConfig{MaxBodyBytes: 65536, Firewalls: 3, FirewallPolicies: 4, MirrorFilters: 5, MirrorTargets: 6, MirrorSessions: 7,
			MirrorRulesPerFilter: 8, MirrorSessionsPerSource: 2, MirrorSourcesPerTarget: 100, SecurityGroups: 9, SecurityGroupRules: 10},
		Resolvers: []string{"192.0.2.53", "fd00::53"},
		Mirroring: MirroringConfig{CPUPercent: 40, TruncatedCPUPercent: DefaultTruncatedCPUPercent},
		TargetGroups: []TargetGroupConfig{
			{Name: "sensors", Members: []string{"eni-0123456789abcdef0", "192.0.2.7"}},
			{Name: "others", Arn: "arn:aws:elasticloadbalancing:eu-west-2:000000000042:loadbalancer/net/others/0123456789abcdef", Members: []string{"fd00::7"}},
		},
		Interfaces: []InterfaceConfig{
			{Device: "r0", Netns: "sluice-gateway", AvailabilityZone: "eu-west-2b",
				SubnetID: "subnet-0123456789abcdef0", InstanceID: "i-0123456789abcdef0", Firewall: &no},
			{Device: "eth0"},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
}

func TestConfigKeepsDefaultsForWhatIsLeftOut(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "---\n", "{}", "region:\nadmin:\n", "api: {listen: 127.0.0.1:7770}"} {
		got, err := ParseConfig([]byte(text))
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if diff := cmp.Diff(DefaultConfig(), got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
	// TLS beside the default address.
	got, err := ParseConfig([]byte("api: {tls: {certificate: /c, key: /k}}"))
	if err != nil || got.API.Listen != DefaultListen {
		t.Errorf("got %+v, %v", got.API, err)
	}
}

func TestConfigErrorsNameKeyAndLine(t *testing.T) {
	tests := map[string][]string{
		"region: eu-west-1\nregoin: x":            {"line 2: regoin: unknown key; known are region, account_id,"},
		"api:\n  listn: x":                        {"line 2: api.listn: unknown key; known are listen, tls"},
		"interfaces:\n  - device: a\n    zone: b": {"line 3: interfaces[0].zone: unknown key; known are device, netns, availability_zone,"},
		"region: a\nregion: b":                    {"line 2: region: set twice"},
		"region: [a]":                             {"line 1: region: want a string, not a list"},
		"region: true":                            {`line 1: region: want a string, not "true"`},
		"api: 5":                                  {"line 1: api: want keys and values, not a single value"},
		"[]":                                      {"the file: want keys and values, not a list"},
		"interfaces: {}":                          {"line 1: interfaces: want a list, not a mapping"},
		"flow_table: {max_flows: many}":           {`flow_table.max_flows: want a whole number, not "many"`},
		"flow_table: {max_flows: 1.5}":            {`flow_table.max_flows: want a whole number, not "1.5"`},
		"flow_table: {max_flows: 1023}":           {"line 1: flow_table.max_flows: 1023 is not between 1024 and 67108864"},
		"flow_table: {max_flows: 99999999999999999999}":          {`flow_table.max_flows: want a whole number`},
		"operations: {deadline: 60}":                             {`operations.deadline: want a duration such as "60s", not "60"`},
		"operations: {deadline: 2h}":                             {"operations.deadline: 2h0m0s is not between 1s and 1h"},
		"operations: {max_rows: 0}":                              {"operations.max_rows: 0 is not between 1 and 100000000"},
		"region: Ireland":                                        {`line 1: region: "Ireland" is not a region name such as eu-west-1`},
		"account_id: 12":                                         {`account_id: "12" is not twelve digits`},
		"state_dir: var":                                         {`state_dir: "var" is not an absolute path`},
		"api: {listen: 7770}":                                    {`api.listen: "7770" is not of the form host:port`},
		"api: {listen: 'example.com:1'}":                         {`api.listen: "example.com" is not an IP address`},
		"api: {listen: '127.0.0.1:70000'}":                       {`api.listen: "70000" is not a port from 0 to 65535`},
		"api: {listen: 127.0.0.1:7771}":                          {"admin.listen: 127.0.0.1:7771 is taken by api.listen"},
		"api: {tls: {certificate: /c}}":                          {`api.tls.key: "" is not an absolute path`},
		"limits: {mirror_sessions_per_source: 4}":                {"limits.mirror_sessions_per_source: 4 is not between 0 and 3"},
		"limits: {sandboxes: 501}":                               {"limits.sandboxes: 501 is not between 0 and 500"},
		"limits: {sandboxes_per_owner: 501}":                     {"limits.sandboxes_per_owner: 501 is not between 0 and 500"},
		"limits: {mirror_rules_per_filter: 65}":                  {"limits.mirror_rules_per_filter: 65 is not between 0 and 64"},
		"resolvers: [" + strings.Repeat("192.0.2.1,", 9) + "]":   {"line 1: resolvers: 9 addresses, want at most 8"},
		"mirroring: {cpu_percent: 0}":                            {"line 1: mirroring.cpu_percent:"},
		"mirroring: {truncated_cpu_percent: 101}":                {"line 1: mirroring.truncated_cpu_percent:"},
		"mirroring: {cpu_percent: 5%}":                           {"line 1: mirroring.cpu_percent:"},
		"resolvers: [one]":                                       {`resolvers[0]: "one" is not an IP address`},
		"target_groups: [{name: a.b, members: [192.0.2.1]}]":     {`target_groups[0].name: "a.b" is not 1 to 32 letters`},
		"target_groups: [{name: a}]":                             {"target_groups[0].members: 0 members, want 1 to 16"},
		"target_groups: [{name: a, members: [host]}]":            {`target_groups[0].members[0]: "host" is neither an interface id`},
		"target_groups: [{name: a, members: [127.0.0.1]}]":       {`target_groups[0].members[0]: "127.0.0.1" is neither`},
		"target_groups: [{name: a, arn: x, members: [\"::1\"]}]": {`target_groups[0].arn: "x" is not the ARN of a network load balancer`},
		"target_groups:\n- {name: a, members: [192.0.2.1]}\n- {name: a, members: [192.0.2.2]}": {
			"line 3: target_groups[1].name: the same name as target_groups[0]"},
		"interfaces: []": {"interfaces: an empty list leaves nothing to do"},
		"region: eu-west-1\ninterfaces:\n# - {device: a}": {"line 2: interfaces: an empty list leaves nothing to do; leave the key out to discover all"},
		"interfaces: ~":                                          {"line 1: interfaces: an empty list leaves nothing to do"},
		"interfaces: [{netns: a}]":                               {`interfaces[0].device: "" is not the name of a device`},
		"interfaces: [{device: a/b}]":                            {`interfaces[0].device: "a/b" is not the name of a device`},
		"interfaces: [{device: abcdefghijklmnop}]":               {"is not the name of a device"},
		"interfaces: [{device: a, netns: ../x}]":                 {`interfaces[0].netns: "../x" is not the name of a network namespace`},
		"interfaces:\n- {device: a}\n- {device: a}":              {"line 3: interfaces[1]: the same device as interfaces[0]"},
		"interfaces: [{device: a, firewall: maybe}]":             {`interfaces[0].firewall: want true or false, not "maybe"`},
		"interfaces: [{device: a, subnet_id: subnet-1}]":         {`interfaces[0].subnet_id: "subnet-1" is not subnet- and 17 hexadecimal digits`},
		"interfaces: [{device: a, instance_id: i-X}]":            {`interfaces[0].instance_id: "i-X" is not i- and 17`},
		"interfaces: [{device: a, availability_zone: us-a}]":     {`"us-a" is not a zone of eu-west-1 such as eu-west-1a`},
		"interfaces: [{device: a, availability_zone: x1a}]":      {`"x1a" is not a zone`},
		"a: &x 1\nregion: *x":                                    {"a: unknown key", "region: aliases are not supported"},
		"region: a\n---\nregion: b":                              {"more than one document"},
		"region: 'a":                                             {"yaml: "},
		"regoin: x\nflow_table: {max_flows: x}\napi: {lsten: 3}": {"regoin", "max_flows", "api.lsten"},
		"interfaces:\n- {device: a, instance_id: i-0123456789abcdef0}\n- {device: b, instance_id: i-0123456789abcdef0, availability_zone: eu-west-1b}": {
			"line 3: interfaces[1].instance_id: i-0123456789abcdef0 is in eu-west-1a by another entry, and in eu-west-1b by this one"},
	}
	for text, wants := range tests {
		_, err := ParseConfig([]byte(text))
		if err == nil {
			t.Errorf("%q: accepted", text)
			continue
		}
		for _, want := range wants {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q:\n got %v\nwant %s", text, err, want)
			}
		}
	}
}

func TestConfigErrorIsBounded(t *testing.T) {
	_, err := ParseConfig([]byte(strings.Repeat("x: 1\n", 10000)))
	if err == nil || strings.Count(err.Error(), "\n")+1 > maxConfigProblems {
		t.Errorf("got %v", err)
	}
	_, err = ParseConfig(make([]byte, maxConfigBytes+1))
	if err == nil {
		t.Error("accepted a file over the limit")
	}
}

func TestLoadConfigNamesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sluice.yaml")
	if _, err := LoadConfig(path); err == nil || !strings.Contains(err.Error(), path+": no such file") {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(path, []byte("region: 1"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadConfig(path); err == nil || !strings.Contains(err.Error(), path+": line 1: region") {
		t.Errorf("got %v", err)
	}
}

func TestEndpointURLCanBeReached(t *testing.T) {
	tests := []struct {
		address string
		tls     bool
		want    string
	}{
		{"127.0.0.1:7770", false, "http://127.0.0.1:7770"},
		{"0.0.0.0:7770", true, "https://127.0.0.1:7770"},
		{":7770", false, "http://127.0.0.1:7770"},
		{"[::]:7770", false, "http://[::1]:7770"},
		{"[fd00::1]:7770", false, "http://[fd00::1]:7770"},
	}
	for _, test := range tests {
		got, err := EndpointURL(test.address, test.tls)
		if err != nil || got != test.want {
			t.Errorf("%s: got %s, %v; want %s", test.address, got, err, test.want)
		}
	}
}

func TestLoopbackIsToldFromTheRest(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:1": true, "127.9.9.9:1": true, "[::1]:1": true, "localhost:1": true,
		"0.0.0.0:1": false, ":1": false, "[::]:1": false, "192.0.2.1:1": false, "nonsense": false,
	} {
		if got := Loopback(address); got != want {
			t.Errorf("%s: got %t", address, got)
		}
	}
}

func FuzzConfig(f *testing.F) {
	f.Add("region: eu-west-1\naccount_id: \"000000000000\"\napi: {listen: 127.0.0.1:7770}\ninterfaces:\n  - {device: r0, netns: x, firewall: true}\n")
	f.Add("interfaces: [{device: &a b}, {device: *a}]\n? [x]\n: y\n<<: {region: a}")
	f.Add("flow_table: {max_flows: 0x10}\noperations: {deadline: -1s}\nlimits: !!int 5")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseConfig([]byte(text))
		if err != nil {
			return
		}
		// What was accepted is within the bounds that the rest relies on.
		again := configDecoder{}
		c.validate(&again)
		if len(again.problems) > 0 {
			t.Errorf("accepted %q in spite of %v", text, again.problems)
		}
		if _, err := EndpointURL(c.API.Listen, false); err != nil {
			t.Errorf("accepted %q: %v", text, err)
		}
		_ = fmt.Sprintf("%+v", c)
	})
}
