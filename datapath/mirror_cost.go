package datapath

import "fmt"

// priceShift is PRICE_SHIFT of bpf/cost.h.
const priceShift = 8

// copyPrices are what the time of a copy costs, scaled; 0 is nothing.
type copyPrices struct{ copies, truncated uint32 }

func newCopyPrices(copyPercent, truncatedPercent int) (copyPrices, error) {
	var p copyPrices
	for _, e := range []struct {
		percent int
		price   *uint32
	}{{copyPercent, &p.copies}, {truncatedPercent, &p.truncated}} {
		if e.percent < 0 || e.percent > 100 {
			return copyPrices{}, fmt.Errorf("copies may take %d percent of a processor: want 1 to 100", e.percent)
		}
		if e.percent > 0 && e.percent < 100 {
			*e.price = uint32((100 << priceShift) / e.percent)
		}
	}
	return p, nil
}
