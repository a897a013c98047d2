package receive

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Files is a Sink that writes pcapng to a file, and to a new one whenever the size
// is reached. The files are NAME.pcapng, NAME.1.pcapng, NAME.2.pcapng and so on.
type Files struct {
	Path string // of the first file
	// Size is how many bytes a file may reach before the next one begins; 0 is no
	// bound. A packet is never split.
	Size int64
	// Keep is how many files stay, the newest; 0 is all. Those of earlier runs count.
	Keep int
	Snap int // bytes of a frame; 0 is DefaultSnapLength

	file   *os.File // nil while none is open
	writer *PcapngWriter
	number int   // of the next file
	kept   []int // numbers of the files that are there, in order; for Keep
}

// maxFileNumber bounds the numbers that are taken for those of files.
const maxFileNumber = 1e9

// Open makes the first file. One that is there already is written over; but where
// files follow each other by size, they go on behind those of earlier runs, so that
// these are neither lost nor beyond the bound.
func (f *Files) Open() error {
	if f.Size > 0 {
		numbers, err := f.numbers()
		if err != nil {
			return err
		}
		if len(numbers) > 0 {
			f.number = numbers[len(numbers)-1] + 1
		}
		f.kept = numbers
	}
	return f.next()
}

// numbers are those of the files that are there, in order.
func (f *Files) numbers() ([]int, error) {
	entries, err := os.ReadDir(filepath.Dir(f.Path))
	if err != nil {
		return nil, fmt.Errorf("look for earlier capture files: %w", err)
	}
	dir, ext := filepath.Dir(f.Path), filepath.Ext(f.Path)
	var out []int
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if !e.Type().IsRegular() {
			continue
		}
		n := 0
		if path != filepath.Clean(f.Path) {
			digits := filepath.Ext(strings.TrimSuffix(path, ext))
			n, err = strconv.Atoi(strings.TrimPrefix(digits, "."))
			// Only what name writes: no sign, no leading zero.
			if err != nil || n <= 0 || n >= maxFileNumber || path != filepath.Clean(f.name(n)) {
				continue
			}
		}
		out = append(out, n)
	}
	slices.Sort(out)
	return out, nil
}

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
	if f.Keep > 0 {
		f.kept = append(f.kept, f.number-1)
	}
	for ; f.Keep > 0 && len(f.kept) > f.Keep; f.kept = f.kept[1:] {
		if err := os.Remove(f.name(f.kept[0])); err != nil && !errors.Is(err, os.ErrNotExist) {
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

// Close ends the present file. One that could not be written to its end, on a full
// disk, ends behind its last whole packet; the error was that of the write.
func (f *Files) Close() error {
	if f.file == nil {
		return nil
	}
	file := f.file
	f.file = nil
	var errs []error
	if f.writer.failure == nil { // which Write or Flush returned
		errs = append(errs, f.writer.Flush())
	}
	if f.writer.failure != nil {
		errs = append(errs, cutOff(file, f.writer.Whole()))
	}
	if err := errors.Join(append(errs, file.Close())...); err != nil {
		return fmt.Errorf("close capture file: %w", err)
	}
	return nil
}

// cutOff ends a file after size bytes. A pipe or a device has nothing to cut off.
func cutOff(file *os.File, size int64) error {
	info, err := file.Stat()
	if err == nil && info.Mode().IsRegular() {
		err = file.Truncate(size)
	}
	if err != nil {
		return fmt.Errorf("cut off the packet that was not written whole: %w", err)
	}
	return nil
}
