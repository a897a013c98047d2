package results

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

const (
	header       = "SLFLOWS\x01" // magic and version
	trailerMagic = "SLFLEND\x01"
	blockRows    = 4096
	entryBytes   = 8 + 4*4
	trailerBytes = 8 + 4 + 4 + 8 + 4 + len(trailerMagic)
	// maxBlocks bounds what a reader allocates for an index: 2^32 rows.
	maxBlocks = 1 << 20
)

// ErrCorrupt is what every error about a torn or damaged segment wraps.
var ErrCorrupt = errors.New("segment is damaged")

// castagnoli is the table of CRC-32C, which processors compute.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// entry is a block's place in the index.
type entry struct {
	offset int64
	stored uint32 // bytes in the file
	raw    uint32 // bytes after decompression
	rows   uint32
	sum    uint32
}

func appendEntry(b []byte, e entry) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(e.offset))
	b = binary.LittleEndian.AppendUint32(b, e.stored)
	b = binary.LittleEndian.AppendUint32(b, e.raw)
	b = binary.LittleEndian.AppendUint32(b, e.rows)
	return binary.LittleEndian.AppendUint32(b, e.sum)
}

// appendFooter appends index and trailer of a segment whose blocks end at offset.
func appendFooter(b []byte, index []entry, offset int64) ([]byte, int64) {
	var rows int64
	for _, e := range index {
		b = appendEntry(b, e)
		rows += int64(e.rows)
	}
	indexSum := crc32.Checksum(b, castagnoli)
	start := len(b)
	b = binary.LittleEndian.AppendUint64(b, uint64(offset))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(index)))
	b = binary.LittleEndian.AppendUint32(b, indexSum)
	b = binary.LittleEndian.AppendUint64(b, uint64(rows))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
	return append(b, trailerMagic...), rows
}

// trailer is what the end of a segment says.
type trailer struct {
	index    int64 // offset
	blocks   int
	indexSum uint32
	rows     int64
}

// parseTrailer checks a trailer against the size of its file.
func parseTrailer(b []byte, size int64) (trailer, error) {
	sum := len(b) - len(trailerMagic) - 4
	if string(b[sum+4:]) != trailerMagic || binary.LittleEndian.Uint32(b[sum:]) != crc32.Checksum(b[:sum], castagnoli) {
		return trailer{}, fmt.Errorf("%w: no trailer", ErrCorrupt)
	}
	t := trailer{
		index:    int64(binary.LittleEndian.Uint64(b)),
		blocks:   int(binary.LittleEndian.Uint32(b[8:])),
		indexSum: binary.LittleEndian.Uint32(b[12:]),
		rows:     int64(binary.LittleEndian.Uint64(b[16:])),
	}
	if t.blocks > maxBlocks || t.index < int64(len(header)) || t.rows < 0 ||
		t.index+int64(t.blocks)*entryBytes+int64(trailerBytes) != size {
		return trailer{}, fmt.Errorf("%w: trailer does not fit the file", ErrCorrupt)
	}
	return t, nil
}

// parseIndex checks an index against its trailer: the blocks lie between header
// and index, and their rows add up.
func parseIndex(b []byte, t trailer) ([]entry, error) {
	if crc32.Checksum(b, castagnoli) != t.indexSum {
		return nil, fmt.Errorf("%w: index checksum", ErrCorrupt)
	}
	index := make([]entry, t.blocks)
	var rows int64
	for i := range index {
		e := entry{
			offset: int64(binary.LittleEndian.Uint64(b)),
			stored: binary.LittleEndian.Uint32(b[8:]),
			raw:    binary.LittleEndian.Uint32(b[12:]),
			rows:   binary.LittleEndian.Uint32(b[16:]),
			sum:    binary.LittleEndian.Uint32(b[20:]),
		}
		b = b[entryBytes:]
		if e.offset < int64(len(header)) || e.offset > t.index-int64(e.stored) ||
			e.rows > blockRows || e.raw > blockRows*maxRowBytes {
			return nil, fmt.Errorf("%w: index entry", ErrCorrupt)
		}
		index[i] = e
		rows += int64(e.rows)
	}
	if rows != t.rows {
		return nil, fmt.Errorf("%w: row count", ErrCorrupt)
	}
	return index, nil
}
