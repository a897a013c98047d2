package main

import (
	"fmt"
	"net"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"

	"sluice/internal/testnet"
)

// What a packet's __sk_buff says at this offset (linux/bpf.h), and what the program
// below makes of it.
const (
	skbProtocol = 16
	etherIPv4   = 0x0008 // ETH_P_IP, as it stands in memory
	tcxNext     = -1
	tcxDrop     = 2
)

// dropAtSensor drops all copies as soon as the sensor has counted them. A sensor is
// another machine, whose work nobody who mirrors has to pay.
func (m *mirrored) dropAtSensor() (end func() error, err error) {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, License: "GPL", Instructions: asm.Instructions{
		asm.LoadMem(asm.R1, asm.R1, skbProtocol, asm.Word),
		asm.Mov.Imm(asm.R0, tcxNext),
		asm.JNE.Imm(asm.R1, etherIPv4, "out"), // ARP has to work
		asm.Mov.Imm(asm.R0, tcxDrop),
		asm.Return().WithSymbol("out"),
	}})
	if err != nil {
		return nil, fmt.Errorf("load program of the sensor: %w", err)
	}
	defer p.Close()
	var l link.Link
	err = testnet.Do(m.Sensor, func() error {
		device, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		l, err = link.AttachTCX(link.TCXOptions{Interface: device.Index, Program: p, Attach: ebpf.AttachTCXIngress})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("attach program of the sensor: %w", err)
	}
	return l.Close, nil
}
