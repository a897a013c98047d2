package main

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
)

func firewallShow(ctx context.Context, s *shell, args []string) error {
	f := newFlags("sluice firewall show", "[NAME|ARN]", "Shows a firewall: its policy, and the endpoint of each zone. NAME may be left out when\nthere is only one.")
	var conn connection
	conn.register(f)
	operands, err := f.parse(s, args, 0, 1)
	if err != nil {
		return err
	}
	if err := conn.check(f); err != nil {
		return err
	}
	c, err := conn.client(ctx, s)
	if err != nil {
		return err
	}
	name := ""
	if len(operands) == 1 {
		name = operands[0]
	}
	d, err := resolveFirewall(ctx, c, name)
	if err != nil {
		return err
	}
	return d.print(s, &conn)
}

// print writes the firewall to stdout.
func (d describedFirewall) print(s *shell, conn *connection) error {
	if conn.json() {
		return writeJSON(s.stdout, d)
	}
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(s.stdout, "%-12s %s\n", name, value)
		}
	}
	line("firewall", aws.ToString(d.Firewall.FirewallName))
	line("arn", aws.ToString(d.Firewall.FirewallArn))
	line("status", d.statusText())
	line("policy", nameOfARN(aws.ToString(d.Firewall.FirewallPolicyArn)))
	line("description", aws.ToString(d.Firewall.Description))
	fmt.Fprintln(s.stdout)
	t := &table{columns: []column{{heading: "ZONE"}, {heading: "SUBNET"}, {heading: "ENDPOINT"}, {heading: "ATTACHMENT"}, {heading: "POLICY"}}}
	messages := ""
	for _, zone := range d.zones() {
		state := d.FirewallStatus.SyncStates[zone]
		sync := "-"
		for _, object := range state.Config {
			sync = string(object.SyncStatus)
		}
		if state.Attachment == nil {
			t.add(zone, "-", "-", "-", sync)
			continue
		}
		t.add(zone, aws.ToString(state.Attachment.SubnetId), aws.ToString(state.Attachment.EndpointId), string(state.Attachment.Status), sync)
		if m := aws.ToString(state.Attachment.StatusMessage); m != "" {
			messages += fmt.Sprintf("%s: %s\n", zone, m)
		}
	}
	if err := t.write(s.stdout, ""); err != nil {
		return err
	}
	_, err := fmt.Fprint(s.stdout, messages)
	return err
}
