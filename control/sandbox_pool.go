package control

import (
	"context"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"sluice"
)

// maxPoolText bounds the names of pools and of their owners, in bytes.
const maxPoolText = 128

// poolFailure is how CloudShell begins what it says of a pool.
const poolFailure = "Error occurred in CheckoutFromPool. Error: "

// CheckoutFromPool takes a value of a pool for a sandbox. Session numbers of a source
// are a pool of which its sessions have some.
func (c *Controller) CheckoutFromPool(ctx context.Context, u SandboxUser, in PoolRequest) (string, error) {
	fail := func(format string, args ...any) (string, error) {
		return "", SandboxErrorf(SandboxErrorGeneral, poolFailure+format, args...)
	}
	b, err := c.findSandbox(ctx, u, in.SandboxID)
	if err != nil {
		return "", err
	}
	item := sluice.PoolItem{PoolID: in.PoolID, OwnerID: in.OwnerID, SandboxID: b.ID, Shared: in.Shared}
	switch in.Kind {
	case PoolNextNumber:
		if in.Start > in.End || in.End == math.MaxInt64 {
			return fail("The range from %d to %d is not valid.", in.Start, in.End)
		}
	case PoolSpecificNumber:
		if item.Value, err = poolNumber(in.Value); err != nil {
			return fail("The item '%.100s' is not a whole number.", in.Value)
		}
	default:
		return fail("Pools of type '%.100s' are not supported; NextAvailableNumericFromRange and SpecificNumeric are.", in.Kind)
	}
	if item.PoolID == "" || !poolText(item.PoolID) || !poolText(item.OwnerID) {
		return fail("poolId must be given, and no text may be longer than %d bytes or have control characters.", maxPoolText)
	}
	value, ok, err := c.o.Store.CheckoutFromPool(ctx, item, in.Start, in.End, c.o.Quotas.Sandboxes.PoolItems, c.living)
	switch {
	case err != nil:
		return "", err
	case !ok && item.Value != "":
		return fail("Could not check out %s: it is taken.", item.Value)
	case !ok:
		return fail("Could not find available number from %d to %d.", in.Start, in.End)
	}
	return value, nil
}

// ReleaseFromPool gives values back that the sandbox holds.
func (c *Controller) ReleaseFromPool(ctx context.Context, u SandboxUser, in PoolRelease) error {
	b, err := c.findSandbox(ctx, u, in.SandboxID)
	if err != nil {
		return err
	}
	if limit := c.o.Quotas.Sandboxes.PoolItems; len(in.Values) > limit {
		return SandboxErrorf(SandboxErrorGeneral, "Error occurred in ReleaseFromPool. Error: A request releases at most %d values.", limit)
	}
	var values []string
	for _, v := range in.Values {
		if n, err := poolNumber(v); err == nil { // nobody holds anything else
			values = append(values, n)
		}
	}
	return c.o.Store.ReleaseFromPool(ctx, sluice.PoolItem{PoolID: in.PoolID, OwnerID: in.OwnerID, SandboxID: b.ID}, values)
}

// poolText tells whether a text can name a pool or an owner.
func poolText(s string) bool {
	return len(s) <= maxPoolText && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// poolNumber is a number in the one form that the store compares.
func poolNumber(s string) (string, error) {
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	return strconv.FormatInt(n, 10), err
}
