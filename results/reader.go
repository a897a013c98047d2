package results

import (
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/klauspost/compress/s2"

	"sluice"
)

// segment is an open, committed segment.
type segment struct {
	file  *os.File
	rows  int64
	index []entry
}

func openSegment(path string) (*segment, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open segment: %w", err)
	}
	s := &segment{file: f}
	if err := s.readFooter(); err != nil {
		f.Close() // only read from: nothing can be lost
		return nil, fmt.Errorf("open segment: %w", err)
	}
	return s, nil
}

func (s *segment) close() { s.file.Close() } // only read from: nothing can be lost

func (s *segment) readFooter() error {
	info, err := s.file.Stat()
	if err != nil {
		return err
	}
	if info.Size() < int64(len(header)+trailerBytes) {
		return fmt.Errorf("%w: too short", ErrCorrupt)
	}
	head, err := s.at(0, len(header))
	if err != nil {
		return err
	}
	if string(head) != header {
		return fmt.Errorf("%w: no header", ErrCorrupt)
	}
	tail, err := s.at(info.Size()-int64(trailerBytes), trailerBytes)
	if err != nil {
		return err
	}
	t, err := parseTrailer(tail, info.Size())
	if err != nil {
		return err
	}
	b, err := s.at(t.index, t.blocks*entryBytes)
	if err != nil {
		return err
	}
	s.rows = t.rows
	s.index, err = parseIndex(b, t)
	return err
}

func (s *segment) at(offset int64, n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := s.file.ReadAt(b, offset); err != nil {
		if err == io.EOF {
			return nil, fmt.Errorf("%w: ends early", ErrCorrupt)
		}
		return nil, fmt.Errorf("read segment: %w", err)
	}
	return b, nil
}

// read returns up to limit rows from row offset on, and touches only the blocks
// that hold them.
func (s *segment) read(offset int64, limit int) ([]sluice.Flow, error) {
	if offset >= s.rows || limit <= 0 {
		return nil, nil
	}
	want := int(min(int64(limit), s.rows-offset))
	out := make([]sluice.Flow, 0, want)
	for _, e := range s.index {
		if offset >= int64(e.rows) {
			offset -= int64(e.rows)
			continue
		}
		stored, err := s.at(e.offset, int(e.stored))
		if err != nil {
			return nil, err
		}
		rows, err := decodeBlock(stored, e, int(offset), want-len(out))
		if err != nil {
			return nil, err
		}
		out, offset = append(out, rows...), 0
		if len(out) == want {
			return out, nil
		}
	}
	return nil, fmt.Errorf("%w: rows are missing", ErrCorrupt)
}

// decodeBlock checks and decompresses a block and returns up to limit rows from
// row skip on. The whole block is decoded, since a block that does not end with
// its last row is damaged.
func decodeBlock(stored []byte, e entry, skip, limit int) ([]sluice.Flow, error) {
	if crc32.Checksum(stored, castagnoli) != e.sum {
		return nil, fmt.Errorf("%w: block checksum", ErrCorrupt)
	}
	if n, err := s2.DecodedLen(stored); err != nil || n != int(e.raw) || n > blockRows*maxRowBytes {
		return nil, fmt.Errorf("%w: block length", ErrCorrupt)
	}
	raw, err := s2.Decode(nil, stored)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	var out []sluice.Flow
	for i := range int(e.rows) {
		var f sluice.Flow
		if raw, err = decodeRow(raw, &f); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		if i >= skip && len(out) < limit {
			out = append(out, f)
		}
	}
	if len(raw) != 0 {
		return nil, fmt.Errorf("%w: bytes after the last row", ErrCorrupt)
	}
	return out, nil
}
