package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"sluice/cloudshell"
	"sluice/control"
	"sluice/daemon"
)

// cloudshellService is the service of the request metrics that CloudShell's operations
// are counted under.
const cloudshellService = "cloudshell"

// listenCloudShell opens the ports of the CloudShell front door, where it is configured.
func (v *server) listenCloudShell() error {
	c := v.config.CloudShell
	if c == nil {
		return nil
	}
	var err error
	if v.cloudshell, err = listen(c.Listen, c.TLS); err != nil {
		return fmt.Errorf("cloudshell: %w", err)
	}
	v.undo.add("CloudShell port", closeListener(v.cloudshell))
	if c.WebAPI != "" {
		if v.webAPI, err = listen(c.WebAPI, c.TLS); err != nil {
			return fmt.Errorf("cloudshell web API: %w", err)
		}
		v.undo.add("CloudShell web API port", closeListener(v.webAPI))
	}
	if a, ok := v.cloudshell.Addr().(*net.TCPAddr); ok && !a.IP.IsLoopback() && c.TLS == nil {
		v.log.Warn("CloudShell's passwords and tokens travel unencrypted beyond loopback; cloudshell.tls ends that", "address", a.String())
	}
	if len(c.Users) == 0 {
		v.log.Warn("cloudshell is on and has no users: nobody can log on", "address", c.Listen)
	}
	return nil
}

// blueprints are those of the configuration.
func blueprints(c *daemon.CloudShellConfig) []control.Blueprint {
	if c == nil {
		return nil
	}
	var out []control.Blueprint
	for _, b := range c.Blueprints {
		made := control.Blueprint{Path: b.Name}
		for _, a := range b.Apps {
			made.Apps = append(made.Apps, control.BlueprintApp{
				Name: a.Name, Instance: a.Instance, InboundPorts: a.InboundPorts, Shared: a.Shared,
				AllowAllSandboxTraffic: a.AllowAllSandboxTraffic == nil || *a.AllowAllSandboxTraffic,
			})
		}
		out = append(out, made)
	}
	return out
}

// checkBlueprints checks what the file's form alone doesn't show.
func checkBlueprints(c *daemon.CloudShellConfig) error {
	for i, b := range c.Blueprints {
		for k, a := range b.Apps {
			if _, err := control.ParseInboundPorts(a.InboundPorts); err != nil {
				return fmt.Errorf("cloudshell.blueprints[%d].apps[%d].inbound_ports: %w", i, k, err)
			}
		}
	}
	return nil
}

// cloudProvider is the name of the cloud provider resource.
func cloudProvider(c *daemon.CloudShellConfig) string {
	if c == nil {
		return daemon.DefaultCloudShellProvider
	}
	return cmp.Or(c.Provider, daemon.DefaultCloudShellProvider)
}

// openCloudShell makes the door.
func (v *server) openCloudShell() (*cloudshell.Door, error) {
	c := v.config.CloudShell
	o := cloudshell.Options{
		Backend:  v.controller,
		Domain:   cmp.Or(c.Domain, daemon.DefaultCloudShellDomain),
		Provider: cloudProvider(c),
		Clock:    time.Now,
		Logger:   v.log,
		Observer: func(operation, code string, took time.Duration) {
			v.requests.observeRequest(cloudshellService, operation, code, took)
		},
	}
	for _, u := range c.Users {
		o.Users = append(o.Users, cloudshell.User{Name: u.Name, PasswordHash: u.PasswordHash, Admin: u.Admin, Domains: u.Domains})
	}
	return cloudshell.New(o)
}

// serveCloudShell serves both ports until ctx ends, and returns when the commands that
// run have ended: the rooms behind the door are still there.
func (v *server) serveCloudShell(ctx context.Context) error {
	door, err := v.openCloudShell()
	if err != nil {
		return err
	}
	ports := newTasks(ctx)
	ports.start("CloudShell", func(ctx context.Context) error {
		return serveHTTP(ctx, newCloudShellServer(door.AutomationHandler(), v.log), v.cloudshell)
	})
	if v.webAPI != nil {
		ports.start("CloudShell web API", func(ctx context.Context) error {
			return serveHTTP(ctx, newCloudShellServer(door.WebAPIHandler(), v.log), v.webAPI)
		})
	}
	<-ports.ctx.Done()
	err = ports.stop()
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	return errors.Join(err, door.Close(drain))
}

// newCloudShellServer makes a server without a time-out for answers: commands take as
// long as they take, and a connection that ends makes clients send them again.
func newCloudShellServer(h http.Handler, log *slog.Logger) *http.Server {
	s := newHTTPServer(h, log)
	s.ReadHeaderTimeout = cloudshell.ReadHeaderTimeout
	s.ReadTimeout = cloudshell.ReadTimeout
	s.WriteTimeout = 0
	s.IdleTimeout = cloudshell.IdleTimeout
	s.MaxHeaderBytes = cloudshell.MaxHeaderBytes
	return s
}
