package control

import "context"

// Sweep does at once what Run does every minute.
func (c *Controller) Sweep(ctx context.Context) error { return c.sweep(ctx) }

// Reconcile does what Run does after a change. Firewalls alone are removed by it,
// so that a test may call it beside Run.
func (c *Controller) Reconcile(ctx context.Context) error { return c.removeReleased(ctx) }

// ForgetCreations does at once what Run does every hour.
func (c *Controller) ForgetCreations(ctx context.Context) error { return c.forgetCreations(ctx) }

// EndSandboxes does what Run does after a change: it ends what is due.
func (c *Controller) EndSandboxes(ctx context.Context) error {
	_, err := c.endSandboxes(ctx)
	return err
}

// ForgetSandboxes does at once what Run does every hour.
func (c *Controller) ForgetSandboxes(ctx context.Context) error { return c.forgetSandboxes(ctx) }
