package cloudshell

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"

	"sluice/control"
)

// foldedObject is a JSON object whose keys are read in any case: clients write Start
// and start.
type foldedObject map[string]any

func fold(v any) foldedObject {
	o, ok := v.(*jsonObject)
	if !ok {
		return nil
	}
	out := foldedObject{}
	for _, key := range o.keys {
		out[strings.ToLower(key)] = o.values[key]
	}
	return out
}

// text returns a string or a number as text; "" for anything else.
func (o foldedObject) text(key string) string {
	switch v := o[key].(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	}
	return ""
}

func checkoutFromPool(ctx context.Context, d *Door, c *call) (*info, error) {
	value, err := parseJSON([]byte(c.params.value("selectionCriteriaJson")))
	criteria := fold(value)
	if err != nil || criteria == nil {
		return nil, faultf(control.SandboxErrorGeneral, "Error occurred in CheckoutFromPool. Error: selectionCriteriaJson is not a JSON object.")
	}
	in := control.PoolRequest{
		Kind:      criteria.text("type"),
		SandboxID: strings.ToLower(strings.TrimSpace(criteria.text("reservationid"))),
		PoolID:    criteria.text("poolid"),
		OwnerID:   criteria.text("ownerid"),
	}
	refuse := func(why string) error {
		return faultf(control.SandboxErrorGeneral, "Error occurred in CheckoutFromPool. Error: %s", why)
	}
	switch isolation := criteria.text("isolation"); {
	case strings.EqualFold(isolation, "Shared"):
		in.Shared = true
	case !strings.EqualFold(isolation, "Exclusive"):
		return nil, refuse("isolation '" + cut(isolation) + "' is neither Exclusive nor Shared.")
	}
	switch in.Kind {
	case control.PoolNextNumber:
		bounds := fold(criteria["requestedrange"])
		var errStart, errEnd error
		in.Start, errStart = strconv.ParseInt(bounds.text("start"), 10, 64)
		in.End, errEnd = strconv.ParseInt(bounds.text("end"), 10, 64)
		if errStart != nil || errEnd != nil || in.Start > in.End {
			return nil, refuse("requestedRange wants whole numbers Start and End, Start no larger than End.")
		}
	case control.PoolSpecificNumber:
		in.Value = strings.TrimSpace(fold(criteria["requesteditem"]).text("value"))
		if _, err := strconv.ParseInt(in.Value, 10, 64); err != nil {
			return nil, refuse("requestedItem wants a whole number Value.")
		}
	default:
		return nil, refuse("the type '" + cut(in.Kind) + "' is not supported.")
	}
	item, err := d.Backend.CheckoutFromPool(ctx, c.user, in)
	if err != nil {
		return nil, err
	}
	i := newInfo("CheckoutFromPoolInfo")
	i.leaf("Items", item)
	return i, nil
}

func releaseFromPool(ctx context.Context, d *Door, c *call) (*info, error) {
	return nil, d.Backend.ReleaseFromPool(ctx, c.user, control.PoolRelease{
		SandboxID: c.sandboxID(),
		PoolID:    c.params.value("poolId"),
		OwnerID:   c.params.value("ownerId"),
		Values:    c.params.strings("values"),
	})
}
