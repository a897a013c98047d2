package receive_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/receive"
)

// echoRequest is a frame with an ICMP echo request from 10.0.0.1 to 10.0.0.2.
func echoRequest(sequence byte, payload int) []byte {
	f := []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0,
		0x45, 0, 0, 0, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
		8, 0, 0, 0, 0, 1, 0, sequence}
	f = append(f, make([]byte, payload)...)
	total := len(f) - 14
	f[16], f[17] = byte(total>>8), byte(total)
	return f
}

type record struct {
	VNI      uint32
	Nano     int64
	Frame    string
	Original int
}

func readAll(t *testing.T, r io.Reader) []record {
	t.Helper()
	reader := receive.NewPcapngReader(r)
	var out []record
	for {
		p, original, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, record{p.VNI, p.Time.UnixNano(), string(p.Frame), original})
	}
}

func TestWhatIsWrittenIsReadBack(t *testing.T) {
	at := time.Unix(1700000000, 123456789)
	cut := echoRequest(3, 1000)[:128]
	packets := []receive.Packet{
		{VNI: 5569041, Time: at, Frame: echoRequest(1, 0)},
		{VNI: 0, Time: at.Add(1), Frame: echoRequest(2, 3)},
		{VNI: 5569041, Time: at.Add(time.Second), Frame: cut},
		{VNI: 1<<24 - 1, Time: at.Add(time.Hour), Frame: echoRequest(4, 9000)},
	}
	var b bytes.Buffer
	w := receive.NewPcapngWriter(&b, 0)
	var want []record
	for _, p := range packets {
		if err := w.Write(p); err != nil {
			t.Fatal(err)
		}
		want = append(want, record{p.VNI, p.Time.UnixNano(), string(p.Frame), len(p.Frame)})
	}
	want[2].Original = 14 + 20 + 8 + 1000
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if w.Written() != int64(b.Len()) {
		t.Errorf("says %d bytes, wrote %d", w.Written(), b.Len())
	}
	if diff := cmp.Diff(want, readAll(t, &b)); diff != "" {
		t.Error(diff)
	}
}

func TestSnapLengthCutsWhatIsWritten(t *testing.T) {
	var b bytes.Buffer
	w := receive.NewPcapngWriter(&b, 64)
	frame := echoRequest(1, 200)
	if err := errors.Join(w.Write(receive.Packet{Frame: frame}), w.Flush()); err != nil {
		t.Fatal(err)
	}
	got := readAll(t, &b)
	if len(got) != 1 || got[0].Frame != string(frame[:64]) || got[0].Original != len(frame) {
		t.Errorf("got %+v", got)
	}
}

func TestTcpdumpReadsTheFile(t *testing.T) {
	tcpdump, err := exec.LookPath("tcpdump")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("tcpdump is not installed: CI runs every test")
		}
		t.Skip("tcpdump is not installed")
	}
	path := filepath.Join(t.TempDir(), "out.pcapng")
	f := &receive.Files{Path: path}
	if err := f.Open(); err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1700000000, 123456789)
	for i := range byte(3) {
		if err := f.Write(receive.Packet{VNI: uint32(i % 2), Time: at, Frame: echoRequest(i, 10)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(tcpdump, "-n", "-tt", "--time-stamp-precision=nano", "-r", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != 3 {
		t.Fatalf("tcpdump read %d packets:\n%s", len(lines), out)
	}
	for _, l := range lines {
		if !strings.HasPrefix(l, "1700000000.123456789 ") || !strings.Contains(l, "10.0.0.1 > 10.0.0.2: ICMP echo request") {
			t.Errorf("tcpdump read %s", l)
		}
	}
}

func TestFilesFollowEachOtherBySize(t *testing.T) {
	dir := t.TempDir()
	f := &receive.Files{Path: filepath.Join(dir, "mirror.pcapng"), Size: 2000, Keep: 2}
	if err := f.Open(); err != nil {
		t.Fatal(err)
	}
	const packets = 40
	for i := range byte(packets) {
		if err := f.Write(receive.Packet{VNI: 9, Time: time.Unix(int64(i), 0), Frame: echoRequest(i, 400)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(names) != 2 {
		t.Fatalf("%v, %v: want the 2 newest files", names, err)
	}
	last := int64(-1)
	for _, name := range names {
		file, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range readAll(t, file) {
			if last >= 0 && r.Nano != last+int64(time.Second) {
				t.Errorf("%s: packet of %d after that of %d", name, r.Nano, last)
			}
			last = r.Nano
		}
		file.Close()
	}
	if last != (packets-1)*int64(time.Second) {
		t.Errorf("the last packet is of %d", last)
	}
}

func TestAFileThatEndsInsideABlockIsNoWholeFile(t *testing.T) {
	var b bytes.Buffer
	w := receive.NewPcapngWriter(&b, 0)
	if err := errors.Join(w.Write(receive.Packet{Frame: echoRequest(1, 0)}), w.Flush()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := receive.NewPcapngReader(bytes.NewReader(b.Bytes()[:b.Len()-1])).Next(); err != io.ErrUnexpectedEOF {
		t.Errorf("got %v", err)
	}
}
