package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"sluice"
	"sluice/agent"
	"sluice/api"
	"sluice/control"
	"sluice/daemon"
	"sluice/datapath"
	"sluice/fleet"
	"sluice/inventory"
	"sluice/results"
	"sluice/state"
)

// server is sluice serve: all rooms of the house, wired together.
type server struct {
	config daemon.Config
	path   string // of the configuration; "" is none
	log    *slog.Logger

	hostID      string
	inventory   *inventory.Inventory
	credentials daemon.Credentials
	tokenKey    []byte
	api, admin  *listener
	cloudshell  *listener // nil: off
	webAPI      *listener // of CloudShell's REST variant; nil: off
	store       *state.Store
	datapath    *datapath.Datapath

	controller *control.Controller
	fleet      *fleet.Fleet
	agent      *agent.Agent
	requests   *requestMetrics
	registry   *prometheus.Registry
	ready      atomic.Bool
	undo       cleanups
}

// run serves until ctx ends or something fails.
func (v *server) run(ctx context.Context, s *shell) error {
	err := v.open(ctx)
	if err == nil {
		v.wire()
		err = v.forgetInterfaces(ctx)
	}
	if err == nil {
		err = v.serve(ctx, s)
	}
	return errors.Join(err, v.undo.run())
}

// open takes hold of everything outside the process: files, ports, the store and
// the kernel. Nothing works yet.
func (v *server) open(ctx context.Context) error {
	if err := daemon.PrepareStateDir(v.config.StateDir, v.log); err != nil {
		return err
	}
	if err := v.lock(); err != nil {
		return err
	}
	if err := v.openInventory(); err != nil {
		return err
	}
	if err := v.listen(); err != nil {
		return err
	}
	var err error
	if v.credentials, err = daemon.OpenCredentials(v.config.StateDir, v.log); err != nil {
		return err
	}
	if v.tokenKey, err = daemon.TokenKey(v.config.StateDir, v.log); err != nil {
		return err
	}
	if err := daemon.WriteAWSConfig(v.config.StateDir, v.config.Region, v.endpointURL()); err != nil {
		return err
	}
	// The store waits for its election and the kernel for its verifier: both at once.
	storeOpened := make(chan error, 1)
	go func() {
		var err error
		v.store, err = state.Open(ctx, state.Options{Dir: filepath.Join(v.config.StateDir, "etcd"), Logger: v.log})
		storeOpened <- err
	}()
	datapathErr := v.openDatapath()
	storeErr := <-storeOpened
	if storeErr == nil {
		v.undo.add("store", func(context.Context) error { return v.store.Close() })
	}
	return errors.Join(datapathErr, storeErr)
}

// lock makes sure that no other server works on the same state.
func (v *server) lock() error {
	name := serveLock(v.config.StateDir)
	lock, err := lockFile(name)
	if errors.Is(err, unix.EWOULDBLOCK) {
		owner, ownerErr := lockOwner(name)
		if ownerErr != nil {
			return ownerErr
		}
		return fmt.Errorf("another server runs on %s, process %d", v.config.StateDir, owner)
	}
	if err != nil {
		return err
	}
	v.undo.add("lock", func(context.Context) error { return lock.Close() })
	return nil
}

func (v *server) openInventory() error {
	var err error
	if v.hostID, err = inventory.HostID(v.config.StateDir); err != nil {
		return err
	}
	options, err := inventoryOptions(v.config, v.hostID, v.log)
	if err != nil {
		return err
	}
	options.Memory = memoryFile(v.config)
	v.inventory = inventory.New(options)
	return checkConfig(v.config, v.path, v.inventory)
}

func (v *server) listen() error {
	var err error
	if v.api, err = listen(v.config.API.Listen, v.config.API.TLS); err != nil {
		return fmt.Errorf("api: %w", err)
	}
	v.undo.add("API port", closeListener(v.api))
	if v.admin, err = listen(v.config.Admin.Listen, nil); err != nil {
		return fmt.Errorf("admin: %w", err)
	}
	v.undo.add("admin port", closeListener(v.admin))
	if a, ok := v.admin.Addr().(*net.TCPAddr); ok && !a.IP.IsLoopback() {
		v.log.Warn("the admin endpoint asks nobody for credentials and listens beyond loopback", "address", a.String())
	}
	return v.listenCloudShell()
}

// closeListener closes a listener that its HTTP server may have closed already.
func closeListener(l net.Listener) func(context.Context) error {
	return func(context.Context) error {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	}
}

func (v *server) openDatapath() error {
	if err := datapath.EnsureBPFFS(v.config.BPFFS); err != nil {
		return err
	}
	dir := pinDir(v.config.BPFFS, v.config.StateDir)
	dp, err := datapath.Open(datapath.Options{
		Dir: dir, MaxFlows: uint64(v.config.FlowTable.MaxFlows), Logger: v.log,
		CopyPercent: v.config.Mirroring.CPUPercent, TruncatedCopyPercent: v.config.Mirroring.TruncatedCPUPercent,
	})
	if err != nil {
		return err
	}
	v.datapath = dp
	v.undo.add("datapath", func(context.Context) error { return dp.Close() })
	v.log.Info("flow table open", "pins", dir, "max_flows", v.config.FlowTable.MaxFlows)
	return nil
}

// wire makes the rooms and hands each what it needs of the others.
func (v *server) wire() {
	v.registry = daemon.NewRegistry()
	v.requests = newRequestMetrics(v.registry)
	v.fleet = fleet.New(v.log)
	v.agent = agent.New(agent.Options{HostID: v.hostID, Datapath: v.datapath, Controller: v.fleet, Logger: v.log})
	v.controller = control.New(control.Options{
		Store:             v.store,
		Fleet:             v.fleet,
		Results:           results.New(filepath.Join(v.config.StateDir, "results")),
		Inventory:         v.inventory,
		Clock:             time.Now,
		Scope:             sluice.Scope{Region: v.config.Region, AccountID: v.config.AccountID},
		Quotas:            quotas(v.config.Limits),
		TargetGroups:      targetGroups(v.config),
		Resolvers:         resolvers(v.config),
		Blueprints:        blueprints(v.config.CloudShell),
		CloudProvider:     cloudProvider(v.config.CloudShell),
		Logger:            v.log,
		Observer:          v.requests,
		OperationDeadline: v.config.Operations.Deadline,
		MaxRows:           v.config.Operations.MaxRows,
	})
	v.registry.MustRegister(datapathMetrics{counters: v.fleet, agents: v.fleet, firewalls: v.controller, mirrors: v.controller, log: v.log})
}

// forgetInterfaces removes what mirrored interfaces that the configuration had once and
// has no more. A process that ends in between does it at its next start.
func (v *server) forgetInterfaces(ctx context.Context) error {
	var ids []string
	for _, n := range v.inventory.Withdrawn() {
		ids = append(ids, n.ID)
	}
	if err := v.controller.DeleteInterfaces(ctx, ids); err != nil {
		return fmt.Errorf("delete sessions of interfaces that are declared no more: %w", err)
	}
	v.inventory.Forget(ids)
	return nil
}

// serve lets everything work until ctx ends. The doors close first, so that what
// they have let in can still be answered.
func (v *server) serve(ctx context.Context, s *shell) error {
	rooms := newTasks(context.WithoutCancel(ctx))
	doors := newTasks(ctx)
	stop := context.AfterFunc(rooms.ctx, doors.cancel)
	defer stop()
	doors.start("admin endpoint", v.serveAdmin)
	rooms.start("inventory", v.inventory.Run)
	defer v.fleet.Join(v.hostID, v.agent)()
	rooms.start("agent", v.agent.Run)
	rooms.start("controller", v.controller.Run)
	select {
	case <-v.controller.Ready():
		v.awaitAgent(doors.ctx)
		doors.start("API", v.serveAPI)
		if v.cloudshell != nil {
			doors.start("CloudShell", v.serveCloudShell)
		}
		v.ready.Store(true)
		if err := v.announce(s); err != nil {
			doors.fail(err)
		}
	case <-doors.ctx.Done():
	}
	<-doors.ctx.Done()
	v.ready.Store(false)
	v.log.Info("stopping; packets stay filtered")
	return errors.Join(doors.stop(), rooms.stop())
}

// agentGrace is how long a start waits for the agent's first word: with it the
// firewalls of an earlier run are READY as soon as anybody can ask.
const agentGrace = time.Second

func (v *server) awaitAgent(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, agentGrace)
	defer cancel()
	for {
		changed := v.fleet.Changed()
		if len(v.fleet.Statuses()) > 0 {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// announce prints the one line that says that the server is ready.
func (v *server) announce(s *shell) error {
	line := fmt.Sprintf("ready: API %s, admin %s", v.endpointURL(), endpointURL(v.admin, false))
	if v.cloudshell != nil {
		line += ", CloudShell " + endpointURL(v.cloudshell, v.config.CloudShell.TLS != nil)
	}
	if _, err := fmt.Fprintln(s.stdout, line); err != nil {
		return fmt.Errorf("say that the server is ready: %w", err)
	}
	return daemon.NotifyReady()
}

func (v *server) endpointURL() string { return endpointURL(v.api, v.config.API.TLS != nil) }

func (v *server) serveAPI(ctx context.Context) error {
	handler := api.New(api.Options{
		Backend:  v.controller,
		Keys:     accountKeys{v.credentials, "arn:aws:iam::" + v.config.AccountID + ":root"},
		TokenKey: v.tokenKey,
		Clock:    time.Now,
		Logger:   v.log,
		MaxBody:  v.config.Limits.MaxBodyBytes,
		Observer: v.requests.observeRequest,
	})
	return serveHTTP(ctx, newHTTPServer(handler, v.log), v.api)
}

func (v *server) serveAdmin(ctx context.Context) error {
	handler := daemon.AdminHandler(daemon.AdminOptions{Metrics: v.registry, Ready: v.checkReady, Logger: v.log})
	return serveHTTP(ctx, newHTTPServer(handler, v.log), v.admin)
}

// checkReady answers /readyz: the rooms run and the store answers and takes writes.
func (v *server) checkReady(ctx context.Context) error {
	if !v.ready.Load() {
		return errors.New("starting or stopping")
	}
	if _, err := v.controller.ListFirewalls(ctx, nil); err != nil {
		v.log.Warn("not ready", "error", err)
		return errors.New("the store does not answer")
	}
	if err := v.store.Writable(); err != nil {
		v.log.Warn("not ready", "error", err)
		return err
	}
	return nil
}

// accountKeys are the access keys of the account: that of its root.
type accountKeys struct {
	credentials daemon.Credentials
	principal   string
}

// Secret implements sigv4.Keys.
func (k accountKeys) Secret(accessKeyID string) (secret, principalARN string, ok bool) {
	if accessKeyID != k.credentials.AccessKeyID {
		return "", "", false
	}
	return k.credentials.SecretAccessKey, k.principal, true
}
