package main

import (
	"fmt"
	"net"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"

	"sluice/internal/testnet"
)

// What a packet's __sk_buff says at these offsets (linux/bpf.h), and what the program
// below makes of it.
const (
	skbLength   = 0
	skbProtocol = 16
	etherIPv4   = 0x0008 // ETH_P_IP, as it stands in memory
	tcxNext     = -1
	tcxDrop     = 2
)

// uplink counts the copies that leave for the sensor, and takes them where a network card
// would: the sensor is another machine, whose work nobody who mirrors has to pay.
type uplink struct {
	counts *ebpf.Map // by CPU: packets, bytes
	link   link.Link
}

func newUplink(netns, device string) (_ *uplink, err error) {
	counts, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.PerCPUArray, KeySize: 4, ValueSize: 16, MaxEntries: 1})
	if err != nil {
		return nil, fmt.Errorf("make counts of copies: %w", err)
	}
	defer func() {
		if err != nil {
			counts.Close()
		}
	}()
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, License: "GPL", Instructions: asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R1, asm.R6, skbProtocol, asm.Word),
		asm.Mov.Imm(asm.R0, tcxNext),
		asm.JNE.Imm(asm.R1, etherIPv4, "out"), // ARP has to work
		asm.StoreImm(asm.RFP, -4, 0, asm.Word),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -4),
		asm.LoadMapPtr(asm.R1, counts.FD()),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "drop"),
		asm.LoadMem(asm.R1, asm.R0, 0, asm.DWord),
		asm.Add.Imm(asm.R1, 1),
		asm.StoreMem(asm.R0, 0, asm.R1, asm.DWord),
		asm.LoadMem(asm.R1, asm.R0, 8, asm.DWord),
		asm.LoadMem(asm.R2, asm.R6, skbLength, asm.Word),
		asm.Add.Reg(asm.R1, asm.R2),
		asm.StoreMem(asm.R0, 8, asm.R1, asm.DWord),
		asm.Mov.Imm(asm.R0, tcxDrop).WithSymbol("drop"),
		asm.Return().WithSymbol("out"),
	}})
	if err != nil {
		return nil, fmt.Errorf("load program of the uplink: %w", err)
	}
	defer p.Close()
	u := &uplink{counts: counts}
	err = testnet.Do(netns, func() error {
		d, err := net.InterfaceByName(device)
		if err != nil {
			return err
		}
		u.link, err = link.AttachTCX(link.TCXOptions{Interface: d.Index, Program: p, Attach: ebpf.AttachTCXEgress})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("attach program of the uplink: %w", err)
	}
	return u, nil
}

func (u *uplink) close() error {
	u.counts.Close()
	return u.link.Close()
}

// read is what has left.
func (u *uplink) read() (d delivery, err error) {
	var perCPU []struct{ Packets, Bytes uint64 }
	if err := u.counts.Lookup(uint32(0), &perCPU); err != nil {
		return d, fmt.Errorf("read counts of copies: %w", err)
	}
	for _, c := range perCPU {
		d.packets += c.Packets
		d.bytes += c.Bytes
	}
	return d, nil
}
