package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
)

func firewallList(ctx context.Context, s *shell, args []string) error {
	f := newFlags("sluice firewall list", "", "Lists the firewalls with their status, policy and zones.")
	var conn connection
	conn.register(f)
	if _, err := f.parse(s, args, 0, 0); err != nil {
		return err
	}
	if err := conn.check(f); err != nil {
		return err
	}
	c, err := conn.client(ctx, s)
	if err != nil {
		return err
	}
	all, err := listFirewalls(ctx, c)
	if err != nil {
		return err
	}
	described := []describedFirewall{}
	for _, m := range all {
		d, err := describeFirewall(ctx, c, aws.ToString(m.FirewallArn))
		if isCode(err, "ResourceNotFoundException") {
			continue // deleted since it was listed
		}
		if err != nil {
			return err
		}
		described = append(described, d)
	}
	if conn.json() {
		return writeJSON(s.stdout, map[string]any{"Firewalls": described})
	}
	if len(described) == 0 {
		fmt.Fprintln(s.stderr, "no firewalls")
		return nil
	}
	t := &table{columns: []column{{heading: "FIREWALL"}, {heading: "STATUS"}, {heading: "POLICY"}, {heading: "ZONES"}}}
	for _, d := range described {
		t.add(aws.ToString(d.Firewall.FirewallName), d.statusText(), nameOfARN(aws.ToString(d.Firewall.FirewallPolicyArn)), strings.Join(d.zones(), " "))
	}
	return t.write(s.stdout, "")
}
