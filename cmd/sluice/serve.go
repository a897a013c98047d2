package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"sluice/daemon"
	"sluice/datapath"
	"sluice/inventory"
)

func serve(ctx context.Context, s *shell, args []string) error {
	f := newFlags("sluice serve", "", "Runs the controller, the agent and the API on this host until SIGINT or SIGTERM; a\n"+
		"second one ends it at once. Packets stay filtered afterwards; sluice detach ends that.")
	configFile := f.String("config", "", "configuration `FILE` (default "+systemConfigFile+", else that of a lab, else defaults)")
	check := f.Bool("check", false, "check the configuration and exit")
	level := f.String("log-level", "info", "`LEVEL`: debug, info, warn or error")
	if _, err := f.parse(s, args, 0, 0); err != nil {
		return err
	}
	logLevel, err := daemon.ParseLevel(*level)
	if err != nil {
		return usagef(f.command, "--log-level: %s", err)
	}
	config, path, err := findConfig(*configFile, configSearch())
	if err != nil {
		return err
	}
	log := daemon.NewLogger(s.stderr, logLevel)
	if *check {
		return checkOnly(s, config, path, log)
	}
	if err := s.needRoot("serve loads programs into the kernel"); err != nil {
		return err
	}
	signal.Ignore(syscall.SIGPIPE) // whoever reads the log may leave; packets and requests go on
	// A server that is killed leaves nothing that the next one can't take up.
	s.endOnSecondSignal(ctx)
	log.Info("starting", "version", versionText(), "config", path, "state", config.StateDir)
	v := &server{config: config, path: path, log: log}
	err = v.run(ctx, s)
	log.Info("stopped")
	return err
}

// checkOnly is --check: it changes nothing.
func checkOnly(s *shell, config daemon.Config, path string, log *slog.Logger) error {
	options, err := inventoryOptions(config, "check", log)
	if err != nil {
		return err
	}
	options.Memory, options.MemoryReadOnly = memoryFile(config), true
	inv := inventory.New(options)
	if err := checkConfig(config, path, inv); err != nil {
		return err
	}
	for _, n := range inv.Withdrawn() {
		// Which sessions there are, the store alone knows, and a running server has it open.
		log.Warn("interface is declared no more; a start deletes the mirror sessions that it is the source of",
			"interface", n.ID, "netns", n.Netns, "device", n.Device)
	}
	if path == "" {
		path = "the configuration without a file"
	}
	snapshot := inv.Snapshot()
	firewalls := 0
	for _, n := range snapshot.Interfaces {
		if n.Firewall {
			firewalls++
		}
	}
	_, err = fmt.Fprintf(s.stdout, "%s is valid: %s, %d of them can carry firewalls\n",
		path, count(int64(len(snapshot.Interfaces)), "interface"), firewalls)
	return err
}

// inventoryOptions turns the interfaces of the configuration into those of the
// inventory.
func inventoryOptions(config daemon.Config, hostID string, log *slog.Logger) (inventory.Options, error) {
	hostname, err := os.Hostname()
	if err != nil {
		return inventory.Options{}, fmt.Errorf("read host name: %w", err)
	}
	o := inventory.Options{HostID: hostID, Hostname: hostname, Region: config.Region, Logger: log}
	if config.Interfaces != nil {
		o.Declared = []inventory.Declared{} // an empty list is none, and not all
	}
	for _, i := range config.Interfaces {
		o.Declared = append(o.Declared, inventory.Declared(i))
	}
	return o, nil
}

// memoryFile is where the inventory keeps what it has seen.
func memoryFile(config daemon.Config) string {
	return filepath.Join(config.StateDir, "interfaces.json")
}

// checkConfig checks what the file alone can't show: the devices of this host and
// the files of the certificate. It loads the inventory.
func checkConfig(config daemon.Config, path string, inv *inventory.Inventory) error {
	err := func() error {
		if n := config.FlowTable.MaxFlows; n < datapath.MaxFlowsMin || n > datapath.MaxFlowsMax {
			return fmt.Errorf("flow_table.max_flows: %d: want %d to %d", n, datapath.MaxFlowsMin, datapath.MaxFlowsMax)
		}
		if _, err := loadCertificate(config.API.TLS); err != nil {
			return err
		}
		if c := config.CloudShell; c != nil {
			if _, err := loadCertificate(c.TLS); err != nil {
				return err
			}
			if err := checkBlueprints(c); err != nil {
				return err
			}
		}
		return inv.Load()
	}()
	if err != nil && path != "" {
		return fmt.Errorf("check config %s: %w", path, err)
	}
	return err
}
