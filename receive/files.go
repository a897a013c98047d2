package receive

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Files is a Sink that writes pcapng to a file, and to a new one whenever the size
// is reached. The files are NAME.pcapng, NAME.1.pcapng, NAME.2.pcapng and so on.
type Files struct {
	Path string // of the first file
	// Size is how many bytes a file may reach before the next one begins; 0 is no
	// bound. A packet is never split.
	Size int64
	Keep int // how many files stay, the newest; 0 is all
	Snap int // bytes of a frame; 0 is DefaultSnapLength

	file   *os.File
	writer *PcapngWriter
	number int
}

// Open makes the first file. One that is there already is written over.
func (f *Files) Open() error { return f.next() }

// name is the path of the n-th file.
func (f *Files) name(n int) string {
	if n == 0 {
		return f.Path
	}
	ext := filepath.Ext(f.Path)
	return fmt.Sprintf("%s.%d%s", strings.TrimSuffix(f.Path, ext), n, ext)
}

func (f *Files) next() error {
	file, err := os.Create(f.name(f.number))
	if err != nil {
		return fmt.Errorf("make capture file: %w", err)
	}
	f.file, f.writer = file, NewPcapngWriter(file, f.Snap)
	f.number++
	if old := f.number - f.Keep - 1; f.Keep > 0 && old >= 0 {
		if err := os.Remove(f.name(old)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove old capture file: %w", err)
		}
	}
	return f.writer.Flush()
}

// Write appends a packet, to a new file when the present one is full.
func (f *Files) Write(p Packet) error {
	if f.Size > 0 && f.writer.Written() >= f.Size {
		if err := f.Close(); err != nil {
			return err
		}
		if err := f.next(); err != nil {
			return err
		}
	}
	return f.writer.Write(p)
}

// Flush hands what waits to the kernel.
func (f *Files) Flush() error { return f.writer.Flush() }

// Close ends the present file.
func (f *Files) Close() error {
	if err := errors.Join(f.writer.Flush(), f.file.Close()); err != nil {
		return fmt.Errorf("close capture file: %w", err)
	}
	return nil
}
