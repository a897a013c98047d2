package control

import "context"

// Sweep does at once what Run does every minute.
func (c *Controller) Sweep(ctx context.Context) error { return c.sweep(ctx) }
