package inventory

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
)

// remembered is a device as it was last seen, in the file that Options.Memory names, with
// all that a start needs to present a declared one while it is away.
type remembered struct {
	ID        string         `json:"id,omitempty"` // earlier files have none: it is derived then
	Netns     string         `json:"netns"`
	Device    string         `json:"device"`
	MAC       string         `json:"mac"`
	MTU       int            `json:"mtu,omitempty"`
	Addresses []netip.Prefix `json:"addresses,omitempty"`
	SharesMAC bool           `json:"shares_mac,omitempty"`
	Forwards  bool           `json:"forwards,omitempty"` // its namespace

	// index is the kernel's, by which a device is followed while the process runs; 0
	// when it is away. It says nothing to another process.
	index int
}

// recall reads the devices of an earlier process. No file is no memory; neither is one
// that can't be read, which is worth a warning and no more.
func (v *Inventory) recall() []remembered {
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
	return unambiguous(v.options.HostID, devices)
}

// unambiguous leaves out what has the id of another one, which no file of ours has, and
// derives the ids that are not there.
func unambiguous(hostID string, devices []remembered) []remembered {
	var out []remembered
	held := map[string]bool{}
	for _, r := range devices {
		if r.ID == "" {
			r.ID = derivedID(hostID, r)
		}
		if !held[r.ID] {
			held[r.ID] = true
			out = append(out, r)
		}
	}
	return out
}

// readings turns what is remembered of declared devices into readings by namespace.
func (v *Inventory) readings(known []remembered) map[string]namespaceState {
	out := map[string]namespaceState{}
	for _, r := range slices.Backward(known) { // of two with one name the one that was there last
		s, more := out[r.Netns]
		if !more {
			s.forwards = r.Forwards
		}
		s.devices = append(s.devices, device{name: r.Device, mac: r.MAC, mtu: r.MTU, addresses: r.Addresses, sharesMAC: r.SharesMAC})
		out[r.Netns] = s
	}
	return out
}

// remember writes the devices down, if they differ from what was written last. v.mu is
// held.
func (v *Inventory) remember() {
	if v.options.Memory == "" || v.options.MemoryReadOnly {
		return
	}
	text, err := json.MarshalIndent(v.known, "", "  ")
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
