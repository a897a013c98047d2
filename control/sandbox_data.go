package control

import (
	"context"
	"maps"
	"slices"
	"strings"

	"sluice"
)

// maxSandboxMessage bounds a line of the output, in bytes; the rest of one is cut off.
const maxSandboxMessage = 2 << 10

// maxSandboxKey bounds a key of sandbox data, in bytes: it is a part of a key of the
// store.
const maxSandboxKey = 256

// SandboxData returns the data of a sandbox, ordered by key.
func (c *Controller) SandboxData(ctx context.Context, u SandboxUser, id string) ([]NameValue, error) {
	b, err := c.findSandbox(ctx, u, id)
	if err != nil {
		return nil, err
	}
	data, err := c.o.Store.SandboxData(ctx, b.ID)
	if err != nil {
		return nil, err
	}
	var out []NameValue
	for _, k := range slices.Sorted(maps.Keys(data)) {
		out = append(out, NameValue{k, data[k]})
	}
	return out, nil
}

// SetSandboxData sets the keys that are given and leaves the others.
func (c *Controller) SetSandboxData(ctx context.Context, u SandboxUser, id string, data []NameValue) error {
	set := map[string]string{}
	for _, d := range data {
		if d.Name == "" {
			return SandboxErrorf(SandboxErrorGeneral, "A key of sandbox data is empty.")
		}
		if len(d.Name) > maxSandboxKey {
			return SandboxErrorf(SandboxErrorGeneral, "A key of sandbox data has %d bytes; at most %d fit.", len(d.Name), maxSandboxKey)
		}
		set[d.Name] = d.Value
	}
	return c.changeSandboxData(ctx, u, id, set, false)
}

// ClearSandboxData removes all data of a sandbox.
func (c *Controller) ClearSandboxData(ctx context.Context, u SandboxUser, id string) error {
	return c.changeSandboxData(ctx, u, id, nil, true)
}

func (c *Controller) changeSandboxData(ctx context.Context, u SandboxUser, id string, set map[string]string, clear bool) error {
	b, err := c.findSandbox(ctx, u, id)
	if err != nil {
		return err
	}
	return c.o.Store.SetSandboxData(ctx, b.ID, set, clear, c.o.Quotas.Sandboxes, c.dataOpen)
}

// dataOpen lets data be written also while a sandbox is torn down: teardown scripts do.
func (c *Controller) dataOpen(b sluice.Sandbox) error {
	if b.Status == SandboxCompleted {
		return c.living(b)
	}
	return nil
}

// WriteMessage adds a line to the output of a sandbox.
func (c *Controller) WriteMessage(ctx context.Context, u SandboxUser, id, message string) error {
	b, err := c.findSandbox(ctx, u, id)
	if err != nil {
		return err
	}
	if len(message) > maxSandboxMessage {
		message = strings.ToValidUTF8(message[:maxSandboxMessage], "") + "..."
	}
	c.o.Logger.Info("sandbox output", "sandbox", b.ID, "user", u.Name, "message", message)
	return c.o.Store.AddSandboxMessage(ctx, b.ID, message, c.o.Quotas.Sandboxes, c.dataOpen)
}

// SandboxOutput returns the last lines of the output of a sandbox.
func (c *Controller) SandboxOutput(ctx context.Context, u SandboxUser, id string) ([]string, error) {
	b, err := c.findSandbox(ctx, u, id)
	if err != nil {
		return nil, err
	}
	return c.o.Store.SandboxOutput(ctx, b.ID)
}
