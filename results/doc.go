// Package results keeps the rows of flow operations in append-only segment files,
// one per operation.
//
//	segment = header block* index trailer
//	header  = magic (7 bytes) version (1 byte)
//	block   = up to 4096 rows (row.go), compressed with S2
//	index   = per block: offset u64, stored length u32, raw length u32,
//	          rows u32, CRC-32C of the stored bytes u32
//	trailer = index offset u64, blocks u32, CRC-32C of the index u32, rows u64,
//	          CRC-32C of the trailer so far u32, magic (8 bytes)
//
// Numbers are little endian. A segment is written under another name and gets its
// own once it is on the disk, so a file with a segment's name is a whole one.
//
// It must never return a row that was not appended: a torn or damaged segment is
// an error.
package results
