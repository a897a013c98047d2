package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/networkfirewall/types"

	"sluice/internal/testnet"
)

// demoFirewall is the name of the demo's firewall.
const demoFirewall = "demo"

// demoRun is one run of the demo.
type demoRun struct {
	shell    *shell
	story    *story
	config   labConfig
	server   *testnet.Process
	client   *apiClient
	arn      string // of the firewall
	zone     string
	counter  *testnet.Counter
	held     []*talk // connections that the clients hold
	newcomer *talk   // one that is too young for the SDK's capture
	cleanups cleanups
}

func demo(ctx context.Context, s *shell, args []string) error {
	f := newFlags("sluice demo", "", "Builds a lab of network namespaces, starts a server, sends real traffic, captures its\n"+
		"flows, flushes one of them, does the same with a stock AWS SDK, mirrors packets to a sensor\n"+
		"and compares them, and removes it all again.")
	if _, err := f.parse(s, args, 0, 0); err != nil {
		return err
	}
	if err := s.needRoot("the demo makes network namespaces and loads programs into the kernel"); err != nil {
		return err
	}
	// A reader that leaves, as head does, must not keep the demo from cleaning up.
	signal.Ignore(syscall.SIGPIPE)
	d := &demoRun{shell: s, story: &story{w: s.stdout, start: time.Now()}}
	fmt.Fprintln(s.stdout, "Sluice: live flows, captured and flushed, and mirrored packets, through the APIs of AWS")
	err := d.run(ctx)
	switch {
	case err == nil:
		d.story.begin("Cleaning up")
	case ctx.Err() != nil:
		d.story.begin("Cleaning up after an interruption")
	default:
		d.story.begin("Cleaning up after a failure")
	}
	if cleanErr := d.cleanups.run(); cleanErr != nil {
		return errors.Join(err, cleanErr)
	}
	d.story.tell("server, programs, maps, namespaces and files are gone")
	if err != nil {
		return err
	}
	fmt.Fprintf(s.stdout, "\nAll of it held. %s\n", d.story.elapsed())
	return nil
}

// run tells the story; each chapter needs the ones before it.
func (d *demoRun) run(ctx context.Context) error {
	for _, chapter := range []func(context.Context) error{
		d.buildLab, d.startServer, d.makeFirewall, d.sendTraffic, d.captureByCommand, d.flushOne, d.captureBySDK, d.mirrorTraffic,
	} {
		if err := chapter(ctx); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return err
		}
	}
	return nil
}

func (d *demoRun) buildLab(ctx context.Context) error {
	if err := sweepDemos(d.shell); err != nil {
		return err
	}
	d.story.begin("A lab of four network namespaces")
	config, err := newDemoLab(&d.cleanups)
	if err != nil {
		return err
	}
	d.config = config
	hosts := config.Network.Hosts()
	d.story.tell("client %s, %s ── gateway ── server %s, %s   (and a sensor)",
		hosts[0].IPv4, hosts[0].IPv6, hosts[1].IPv4, hosts[1].IPv6)
	return ctx.Err()
}

func (d *demoRun) startServer(ctx context.Context) error {
	d.story.begin("A server: control plane, agent and API in one process")
	d.command("serve")
	began := time.Now()
	server, line, err := startServer(ctx, d.config, &d.cleanups)
	if err != nil {
		return err
	}
	d.server = server
	d.story.tell("%s", line)
	d.story.tell("ready after %.2f s", time.Since(began).Seconds())
	cfg, err := awsConfig(ctx, sharedFilesIn(d.config.StateDir()), "")
	if err != nil {
		return err
	}
	d.client = newClient(cfg)
	return nil
}

func (d *demoRun) makeFirewall(ctx context.Context) error {
	d.story.begin("A firewall on the client's side of the gateway")
	out, err := d.sluice(ctx, "firewall", "create", demoFirewall, "--subnet", "client")
	if err != nil {
		return err
	}
	d.quote(out)
	described, err := describeFirewall(ctx, d.client, demoFirewall)
	if err != nil {
		return err
	}
	d.arn = *described.Firewall.FirewallArn
	d.zone = described.zones()[0]
	d.counter, err = testnet.Count(d.config.Network.Gateway, d.config.Network.Hosts()[0].Link)
	if err != nil {
		return err
	}
	d.cleanups.add("packet socket", func(context.Context) error { return d.counter.Close() })
	return nil
}

func (d *demoRun) sendTraffic(ctx context.Context) error {
	d.story.begin("Traffic from the client to the server")
	if err := d.startTraffic(ctx); err != nil {
		return err
	}
	d.story.tell("%d connections over TCP, UDP and ICMP, IPv4 and IPv6, and one more that is closed again.", len(d.held))
	d.story.tell("A packet socket on %s counts them too, and knows nothing of the flow table.", d.config.Network.Hosts()[0].Link)
	return nil
}

func (d *demoRun) captureByCommand(ctx context.Context) error {
	d.story.begin("A capture of the live flows")
	var flows []types.Flow
	shown := false
	tallies, err := d.whileQuiet(ctx, func() (err error) {
		flows, err = d.flows(ctx, shown, "flow", "capture", "--filter", "source=10.77.1.0/24", "--filter", "source=fd77:1::/64", "--sort", "bytes")
		shown = true
		return err
	})
	if err != nil {
		return err
	}
	checked, problems := compareFlows(flows, d.held, tallies, time.Now())
	if err := checkedTable(checked).write(d.shell.stdout, "   "); err != nil {
		return err
	}
	if len(problems) > 0 {
		return fmt.Errorf("the capture is wrong:\n  %s", strings.Join(problems, "\n  "))
	}
	d.story.tell("%d of %d connections captured, each with the very packets and bytes that the packet", len(checked), len(d.held))
	d.story.tell("socket counted; the closed one is not there.")
	return nil
}

// sluice runs a verb of the people's side as a process of its own, as people do,
// and returns what it prints.
func (d *demoRun) sluice(ctx context.Context, args ...string) ([]byte, error) {
	d.command(args...)
	return d.quietly(ctx, args...)
}

func (d *demoRun) quietly(ctx context.Context, args ...string) ([]byte, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find own binary: %w", err)
	}
	cmd := exec.CommandContext(ctx, self, append(args, "--config", d.config.ConfigFile())...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("sluice %s: %w\n%s", strings.Join(args, " "), err, strings.TrimSpace(stdout.String()+stderr.String()))
	}
	return stdout.Bytes(), nil
}

// flows runs a flow verb and returns its flows; quiet leaves out the command
// line, which was shown before.
func (d *demoRun) flows(ctx context.Context, quiet bool, args ...string) ([]types.Flow, error) {
	if !quiet {
		d.command(args...)
	}
	out, err := d.quietly(ctx, append(args, "--output", "json")...)
	if err != nil {
		return nil, err
	}
	var r flowResult
	if err := json.Unmarshal(out, &r); err != nil {
		return nil, fmt.Errorf("read output of sluice %s: %w", strings.Join(args, " "), err)
	}
	return r.Flows, nil
}

// command shows a command line of the people's side.
func (d *demoRun) command(args ...string) { d.story.tell("$ sluice %s", strings.Join(args, " ")) }

// quote shows what a command printed.
func (d *demoRun) quote(out []byte) {
	for line := range strings.Lines(strings.TrimSpace(string(out))) {
		if line = strings.TrimRight(line, "\n"); line != "" {
			d.story.tell("%s", line)
		}
	}
}
