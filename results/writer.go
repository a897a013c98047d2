package results

import (
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"sync"

	"github.com/klauspost/compress/s2"
	"golang.org/x/sys/unix"

	"sluice"
)

// writebackBytes is how much a writer puts into the page cache before it asks the
// kernel to begin with the disk, so that little is left for the final fsync.
const writebackBytes = 4 << 20

var errClosed = errors.New("result is not open")

// writer fills a segment. Rows are encoded by the goroutine that appends them;
// full blocks are compressed and written by others, as many as the directory has
// slots.
type writer struct {
	path  string
	slots chan struct{}
	pool  *sync.Pool // of *[]byte

	mu     sync.Mutex // guards what follows, and the order of hand-overs
	rows   *[]byte    // encoded rows of the block being filled
	count  uint32     // of them
	closed bool
	busy   sync.WaitGroup

	fileMu  sync.Mutex // guards what follows
	file    *os.File
	offset  int64
	flushed int64 // offset up to which write-back was asked for
	index   []entry
	err     error // the first failure of a block; the segment is lost then
}

func newWriter(path string, slots chan struct{}, pool *sync.Pool) (*writer, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create segment: %w", err)
	}
	w := &writer{path: path, slots: slots, pool: pool, file: f, offset: int64(len(header))}
	if _, err := f.WriteString(header); err != nil {
		return nil, errors.Join(fmt.Errorf("write segment: %w", err), f.Close(), os.Remove(path))
	}
	return w, nil
}

func (w *writer) append(block sluice.FlowBlock) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return errClosed
	}
	for i := range block {
		if w.rows == nil {
			w.rows = w.pool.Get().(*[]byte)
			*w.rows = (*w.rows)[:0]
		}
		b, err := appendRow(*w.rows, &block[i])
		if err != nil {
			return err
		}
		*w.rows = b
		if w.count++; w.count == blockRows {
			w.handOver()
		}
	}
	return w.failure()
}

func (w *writer) failure() error {
	w.fileMu.Lock()
	defer w.fileMu.Unlock()
	return w.err
}

// handOver gives the block being filled to a goroutine. It waits for a slot, which
// is what bounds the memory.
func (w *writer) handOver() {
	rows, count := w.rows, w.count
	w.rows, w.count = nil, 0
	if count == 0 {
		return
	}
	w.slots <- struct{}{}
	w.busy.Go(func() {
		defer func() { <-w.slots }()
		w.write(*rows, count)
		w.pool.Put(rows)
	})
}

func (w *writer) write(raw []byte, count uint32) {
	buffer := w.pool.Get().(*[]byte)
	defer w.pool.Put(buffer)
	stored := s2.Encode((*buffer)[:cap(*buffer)], raw)
	if cap(stored) > cap(*buffer) {
		*buffer = stored // the next block finds room
	}
	sum := crc32.Checksum(stored, castagnoli)

	w.fileMu.Lock()
	defer w.fileMu.Unlock()
	if w.err != nil {
		return
	}
	if _, err := w.file.WriteAt(stored, w.offset); err != nil {
		w.err = fmt.Errorf("write segment: %w", err)
		return
	}
	w.index = append(w.index, entry{w.offset, uint32(len(stored)), uint32(len(raw)), count, sum})
	w.offset += int64(len(stored))
	if n := w.offset - w.flushed; n >= writebackBytes {
		// A hint: where it is not supported, the fsync at the end does it all.
		_ = unix.SyncFileRange(int(w.file.Fd()), w.flushed, n, unix.SYNC_FILE_RANGE_WRITE)
		w.flushed = w.offset
	}
}

// finish writes what is left, the index and the trailer, and waits for the disk.
func (w *writer) finish() (int64, error) {
	if !w.close() {
		return 0, errClosed
	}
	w.fileMu.Lock()
	defer w.fileMu.Unlock()
	if w.err != nil {
		return 0, errors.Join(w.err, w.file.Close())
	}
	footer, rows := appendFooter(nil, w.index, w.offset)
	if _, err := w.file.WriteAt(footer, w.offset); err != nil {
		return 0, errors.Join(fmt.Errorf("write segment: %w", err), w.file.Close())
	}
	if err := w.file.Sync(); err != nil {
		return 0, errors.Join(fmt.Errorf("sync segment: %w", err), w.file.Close())
	}
	if err := w.file.Close(); err != nil {
		return 0, fmt.Errorf("close segment: %w", err)
	}
	return rows, nil
}

// close refuses further rows and waits for the blocks under way; false when that
// had been done already.
func (w *writer) close() bool {
	w.mu.Lock()
	was := w.closed
	w.closed = true
	if !was {
		w.handOver()
	}
	w.mu.Unlock()
	w.busy.Wait()
	return !was
}

// abandon closes the segment and removes it.
func (w *writer) abandon() error {
	if w.close() {
		if err := w.file.Close(); err != nil {
			return fmt.Errorf("close segment: %w", err)
		}
	}
	return removeFile(w.path)
}
