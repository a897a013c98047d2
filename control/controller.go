package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"sluice"
)

// Defaults of Options.
const (
	DefaultOperationDeadline = 60 * time.Second
	DefaultMaxRows           = 2_000_000
)

// Intervals of the loop of Run.
const (
	sweepInterval = time.Minute
	retryInterval = time.Second // after a store error
	// Client tokens are looked through at this interval.
	forgetInterval = time.Hour
)

// Quotas bound what an account may have. Zero means the default.
type Quotas struct {
	Firewalls          int
	FirewallPolicies   int
	FirewallsPerPolicy int
	Mirror             sluice.MirrorQuotas
	SecurityGroups     sluice.SecurityGroupQuotas
	Sandboxes          sluice.SandboxQuotas
}

// DefaultQuotas are twenty times those of AWS for firewalls (Network Firewall
// quotas: 5 firewalls, 20 policies, 1,000 firewalls per policy), and those of AWS for
// mirroring and groups (Traffic Mirroring quotas; VPC quotas). CloudShell documents none;
// those of sandboxes keep the records of one below a megabyte, and those of all, living
// and ended, below a third of what the store may hold.
var DefaultQuotas = Quotas{
	Firewalls: 100, FirewallPolicies: 400, FirewallsPerPolicy: 20_000,
	Mirror: sluice.MirrorQuotas{
		Filters: 10_000, Targets: 10_000, Sessions: 10_000,
		RulesPerFilter: 10, SessionsPerSource: 3, SourcesPerTarget: 10,
	},
	SecurityGroups: sluice.SecurityGroupQuotas{Groups: 2500, RulesPerGroup: 60},
	Sandboxes: sluice.SandboxQuotas{
		Sandboxes: 250, PerOwner: 20, PoolItems: 100, DataBytes: 64 << 10, DataKeys: 128, OutputBytes: 32 << 10, Messages: 200,
	},
}

// Observer is told of flow operations that have ended.
type Observer interface {
	FlowOperationEnded(t sluice.FlowOperationType, s sluice.FlowOperationStatus, d time.Duration, rows int64)
}

// Options are what a Controller needs. Clock, Logger, Observer, Quotas,
// OperationDeadline and MaxRows may be left out.
type Options struct {
	Store     Store
	Fleet     Fleet
	Results   Results
	Inventory Inventory
	Clock     Clock
	Scope     sluice.Scope
	Quotas    Quotas
	Logger    *slog.Logger
	Observer  Observer
	// TargetGroups are what NetworkLoadBalancerArn can name.
	TargetGroups []sluice.TargetGroup
	// Resolvers are the addresses whose DNS is the network service amazon-dns; nil is
	// those of AWS: 169.254.169.253, fd00:ec2::253 and the third address of the
	// source's IPv4 subnet, unless an interface has it.
	Resolvers []netip.Addr
	// Blueprints are what sandboxes can be made from.
	Blueprints []Blueprint
	// CloudProvider is the name of the resource that has the commands of traffic
	// mirroring; "" is AWS.
	CloudProvider string
	// OperationDeadline is how long the endpoints have to answer a flow operation.
	OperationDeadline time.Duration
	// MaxRows is the most rows that a flow operation keeps.
	MaxRows int64
}

// Controller carries out what the front doors ask for.
type Controller struct {
	o     Options
	ready chan struct{}
	kick  chan struct{} // asks the loop of Run to look again

	mu        sync.Mutex // guards what follows
	stopping  bool
	running   map[string]runningOperation // by operation id
	published publication
	begun     int64 // how often a publication has begun

	operations sync.WaitGroup // one for each entry of running
	base       context.Context
}

// New makes a Controller that does nothing until Run.
func New(o Options) *Controller {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.OperationDeadline <= 0 {
		o.OperationDeadline = DefaultOperationDeadline
	}
	if o.CloudProvider == "" {
		o.CloudProvider = "AWS"
	}
	if o.MaxRows <= 0 {
		o.MaxRows = DefaultMaxRows
	}
	for _, q := range []struct {
		quota *int
		value int
	}{
		{&o.Quotas.Firewalls, DefaultQuotas.Firewalls},
		{&o.Quotas.FirewallPolicies, DefaultQuotas.FirewallPolicies},
		{&o.Quotas.FirewallsPerPolicy, DefaultQuotas.FirewallsPerPolicy},
		{&o.Quotas.Mirror.Filters, DefaultQuotas.Mirror.Filters},
		{&o.Quotas.Mirror.Targets, DefaultQuotas.Mirror.Targets},
		{&o.Quotas.Mirror.Sessions, DefaultQuotas.Mirror.Sessions},
		{&o.Quotas.Mirror.RulesPerFilter, DefaultQuotas.Mirror.RulesPerFilter},
		{&o.Quotas.Mirror.SessionsPerSource, DefaultQuotas.Mirror.SessionsPerSource},
		{&o.Quotas.Mirror.SourcesPerTarget, DefaultQuotas.Mirror.SourcesPerTarget},
		{&o.Quotas.SecurityGroups.Groups, DefaultQuotas.SecurityGroups.Groups},
		{&o.Quotas.SecurityGroups.RulesPerGroup, DefaultQuotas.SecurityGroups.RulesPerGroup},
		{&o.Quotas.Sandboxes.Sandboxes, DefaultQuotas.Sandboxes.Sandboxes},
		{&o.Quotas.Sandboxes.PerOwner, DefaultQuotas.Sandboxes.PerOwner},
		{&o.Quotas.Sandboxes.PoolItems, DefaultQuotas.Sandboxes.PoolItems},
		{&o.Quotas.Sandboxes.DataBytes, DefaultQuotas.Sandboxes.DataBytes},
		{&o.Quotas.Sandboxes.DataKeys, DefaultQuotas.Sandboxes.DataKeys},
		{&o.Quotas.Sandboxes.OutputBytes, DefaultQuotas.Sandboxes.OutputBytes},
		{&o.Quotas.Sandboxes.Messages, DefaultQuotas.Sandboxes.Messages},
	} {
		if *q.quota <= 0 {
			*q.quota = q.value
		}
	}
	return &Controller{
		o:       o,
		ready:   make(chan struct{}),
		kick:    make(chan struct{}, 1),
		running: map[string]runningOperation{},
	}
}

// Ready is closed once Run has ended what an earlier process left running and has
// published the desired state.
func (c *Controller) Ready() <-chan struct{} { return c.ready }

// Scope is the account and region that the controller answers for.
func (c *Controller) Scope() sluice.Scope { return c.o.Scope }

// Inventory returns the interfaces, subnets and instances as they are now.
func (c *Controller) Inventory(context.Context) (sluice.Inventory, error) {
	return c.o.Inventory.Snapshot(), nil
}

// Run recovers, then publishes the desired state as it changes, removes what is
// being deleted and purges what is too old, until ctx ends. It returns after the
// flow operations that it had started have been written down.
func (c *Controller) Run(ctx context.Context) error {
	if err := c.recoverOperations(ctx); err != nil {
		return fmt.Errorf("recover flow operations: %w", err)
	}
	if err := c.publish(ctx); err != nil {
		return fmt.Errorf("publish desired state: %w", err)
	}
	c.base = ctx // read only after ready
	close(c.ready)
	sweep := time.NewTicker(sweepInterval)
	defer sweep.Stop()
	forget := time.NewTicker(forgetInterval)
	defer forget.Stop()
	for ctx.Err() == nil {
		statuses, interfaces := c.o.Fleet.Changed(), c.o.Inventory.Changed()
		var retry, due <-chan time.Time
		end, err := c.reconcile(ctx)
		if err != nil && ctx.Err() == nil {
			c.o.Logger.Error("reconcile", "error", err)
			retry = time.After(retryInterval)
		}
		if !end.IsZero() {
			due = time.After(end.Sub(c.o.Clock()))
		}
		select {
		case <-ctx.Done():
		case <-statuses:
		case <-interfaces:
		case <-c.kick:
		case <-retry:
		case <-due: // a sandbox is to end
		case <-sweep.C:
			if err := c.sweep(ctx); err != nil && ctx.Err() == nil {
				c.o.Logger.Error("sweep flow operations", "error", err)
			}
		case <-forget.C:
			if err := c.forgetCreations(ctx); err != nil && ctx.Err() == nil {
				c.o.Logger.Error("forget client tokens", "error", err)
			}
			if err := c.forgetSandboxes(ctx); err != nil && ctx.Err() == nil {
				c.o.Logger.Error("forget sandboxes", "error", err)
			}
		}
	}
	c.mu.Lock()
	c.stopping = true
	c.mu.Unlock()
	c.operations.Wait()
	return nil
}

// reconcile brings agents and store together: sandboxes whose time is over end, agents
// get what has changed, and firewalls that they have let go of are removed. It returns
// when the next sandbox is to end; zero is none.
func (c *Controller) reconcile(ctx context.Context) (time.Time, error) {
	next, ended := c.endSandboxes(ctx) // whatever comes of it, the rest doesn't wait
	if err := c.publish(ctx); err != nil {
		return next, errors.Join(ended, fmt.Errorf("publish desired state: %w", err))
	}
	if err := c.removeReleased(ctx); err != nil {
		return next, errors.Join(ended, fmt.Errorf("remove firewalls: %w", err))
	}
	return next, ended
}

// changed asks the loop of Run to reconcile.
func (c *Controller) changed() {
	select {
	case c.kick <- struct{}{}:
	default: // it has been asked already
	}
}
