package datapath

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// What checkKernel asks for as the youngest feature besides TCX.
const (
	programType = ebpf.SchedCLS
	coarseClock = asm.FnKtimeGetCoarseNs
)

// programKey is what a loaded firewall program is made for.
type programKey struct {
	slot    uint32
	netns   uint32 // inode number
	header  uint32 // bytes of the link header
	ingress bool
}

// collection loads one program of the object onto the maps of this table.
func (t *table) load(name string, key programKey) (*ebpf.Program, error) {
	spec, err := t.spec()
	if err != nil {
		return nil, err
	}
	for other := range spec.Programs {
		if other != name {
			delete(spec.Programs, other)
		}
	}
	var ingress uint8
	if key.ingress {
		ingress = 1
	}
	for variable, value := range map[string]any{
		firewallVarEndpointSlot: key.slot,
		firewallVarAtIngress:    ingress,
		firewallVarLinkHeader:   key.header,
		firewallVarNetns:        key.netns,
		firewallVarBucketCount:  t.layout.Buckets,
		firewallVarMaxFlows:     t.layout.MaxFlows,
		firewallVarSeed0:        t.layout.Seed[0],
		firewallVarSeed1:        t.layout.Seed[1],
		firewallVarResetMark:    t.layout.ResetMark,
		firewallVarCopyMark:     copyMark(&t.layout),
	} {
		v := spec.Variables[variable]
		if v == nil {
			return nil, fmt.Errorf("load program %s: no variable %s", name, variable)
		}
		if err := v.Set(value); err != nil {
			return nil, fmt.Errorf("load program %s: set %s: %w", name, variable, err)
		}
	}
	shared := map[string]*ebpf.Map{}
	if err := t.eachMap(func(name string, m **ebpf.Map) error {
		shared[name] = *m
		return nil
	}); err != nil {
		return nil, err
	}
	c, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: shared})
	if err != nil {
		return nil, fmt.Errorf("load program %s: %w", name, err)
	}
	defer c.Close()
	return c.DetachProgram(name), nil
}

// startCleaner arms the timer that frees entries. It lives in a pinned map: it goes on
// without this process, and an earlier one's goes on with the newer code.
func (t *table) startCleaner() error {
	p, err := t.load(firewallProgStartCleaner, programKey{})
	if err != nil {
		return err
	}
	code, err := p.Run(&ebpf.RunOptions{Data: make([]byte, 64)})
	if err != nil {
		return errors.Join(fmt.Errorf("start cleaner: %w", err), p.Close())
	}
	if code != 0 {
		return errors.Join(fmt.Errorf("start cleaner: the kernel refused the timer (%d)", code), p.Close())
	}
	return p.Close()
}
