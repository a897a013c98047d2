package inventory

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
)

// remembered is a declared device as it was last seen, in the file that
// Options.Memory names. Its hardware address is what its id derives from, so that a
// start finds the firewalls of a device which is away.
type remembered struct {
	Netns     string         `json:"netns"`
	Device    string         `json:"device"`
	MAC       string         `json:"mac"`
	MTU       int            `json:"mtu"`
	Addresses []netip.Prefix `json:"addresses"`
	SharesMAC bool           `json:"shares_mac"`
	Forwards  bool           `json:"forwards"` // its namespace
}

// recall reads the devices of an earlier process by namespace. No file is no memory;
// neither is one that can't be read, which is worth a warning and no more.
func (v *Inventory) recall() map[string]namespaceState {
	if v.options.Memory == "" {
		return nil
	}
	text, err := os.ReadFile(v.options.Memory)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var devices []remembered
	if err == nil {
		err = json.Unmarshal(text, &devices)
	}
	if err != nil {
		v.options.Logger.Warn("can't recall the devices of the last run", "error", err)
		return nil
	}
	out := map[string]namespaceState{}
	for _, d := range devices {
		s := out[d.Netns]
		s.forwards = d.Forwards
		s.devices = append(s.devices, device{name: d.Device, mac: d.MAC, mtu: d.MTU, addresses: d.Addresses, sharesMAC: d.SharesMAC})
		out[d.Netns] = s
	}
	return out
}

// remember writes the declared devices down, if they differ from what was written
// last. v.mu is held.
func (v *Inventory) remember() {
	if v.options.Memory == "" {
		return
	}
	var devices []remembered
	for _, d := range v.options.Declared {
		s := v.seen[d.Netns]
		if now, ok := s.find(d.Device); ok {
			devices = append(devices, remembered{d.Netns, d.Device, now.mac, now.mtu, now.addresses, now.sharesMAC, s.forwards})
		}
	}
	text, err := json.MarshalIndent(devices, "", "  ")
	if err == nil && string(text) == string(v.written) {
		return
	}
	if err == nil {
		err = replaceFile(v.options.Memory, append(text, '\n'))
	}
	if err != nil {
		v.options.Logger.Warn("can't remember the devices: a start without one of them will fail", "error", err)
		return
	}
	v.written = text
}

// replaceFile writes a file so that a crash leaves the old or the new one.
func replaceFile(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("replace file: %w", err)
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("replace file: %w", err), os.Remove(f.Name()))
	}
	return nil
}
