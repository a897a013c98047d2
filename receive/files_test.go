package receive_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"sluice/internal/testnet"
	"sluice/receive"
)

// writePackets writes packets of about 450 bytes into files.
func writePackets(t *testing.T, f *receive.Files, packets int) {
	t.Helper()
	if err := f.Open(); err != nil {
		t.Fatal(err)
	}
	for i := range packets {
		if err := f.Write(receive.Packet{VNI: 9, Time: time.Unix(int64(i), 0), Frame: echoRequest(byte(i), 400)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// filesIn are the names of what is in a directory.
func filesIn(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	slices.Sort(out)
	return out
}

func TestTheNewestFilesStayOverRestarts(t *testing.T) {
	dir := t.TempDir()
	others := []string{"mirror.007.pcapng", "mirror.old.pcapng", "mirror.pcapng.1", "mirror.-3.pcapng", "other.12.pcapng", "mirrors.4.pcapng"}
	for _, name := range others {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for run, want := range [][]string{
		{"mirror.1.pcapng", "mirror.2.pcapng", "mirror.3.pcapng"}, // after mirror.pcapng
		{"mirror.5.pcapng", "mirror.6.pcapng", "mirror.7.pcapng"},
		{"mirror.10.pcapng", "mirror.11.pcapng", "mirror.9.pcapng"},
	} {
		writePackets(t, &receive.Files{Path: filepath.Join(dir, "mirror.pcapng"), Size: 2000, Keep: 3}, 16)
		want = append(want, others...)
		slices.Sort(want)
		if diff := cmp.Diff(want, filesIn(t, dir)); diff != "" {
			t.Errorf("run %d: %s", run, diff)
		}
	}
	writePackets(t, &receive.Files{Path: filepath.Join(dir, "mirror.pcapng"), Size: 2000, Keep: 1}, 1)
	want := append([]string{"mirror.12.pcapng"}, others...)
	slices.Sort(want)
	if diff := cmp.Diff(want, filesIn(t, dir)); diff != "" {
		t.Errorf("a smaller bound: %s", diff)
	}
}

// smallDisk mounts a file system of a size until the test ends.
func smallDisk(t *testing.T, size string) (dir string) {
	t.Helper()
	testnet.RequireRoot(t)
	dir = t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestAFileOnAFullDiskEndsBehindAWholePacket(t *testing.T) {
	path := filepath.Join(smallDisk(t, "256k"), "out.pcapng")
	f := &receive.Files{Path: path}
	if err := f.Open(); err != nil {
		t.Fatal(err)
	}
	const packets = 1000
	for i := range packets {
		if err := f.Write(receive.Packet{VNI: 9, Time: time.Unix(int64(i), 0), Frame: echoRequest(byte(i), 400)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Flush(); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("Flush said %v", err)
	}
	if err := f.Write(receive.Packet{Frame: echoRequest(0, 0)}); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("another Write said %v", err)
	}
	if err := f.Close(); err != nil {
		t.Errorf("Close said %v, which Flush had said", err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	whole := readAll(t, file) // fails at a part of a block
	if len(whole) < 400 || len(whole) >= packets {
		t.Fatalf("%d of %d packets are in the file", len(whole), packets)
	}
	if last := whole[len(whole)-1]; last.Nano != int64(len(whole)-1)*int64(time.Second) || last.Frame != string(echoRequest(byte(len(whole)-1), 400)) {
		t.Errorf("the last packet is of %d, %d bytes", last.Nano, len(last.Frame))
	}
}
