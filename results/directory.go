package results

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"sluice"
)

// The suffixes of a segment that is committed and of one that is being written.
const (
	committedSuffix = ".flows"
	openSuffix      = ".open"
)

// leastFree is how much of the file system results leave to others, in bytes: the
// store beside them stops where it can't write.
const leastFree = 64 << 20

// Directory keeps the results of flow operations in a directory, whose files it
// owns. All its methods are safe for concurrent use.
type Directory struct {
	dir   string
	slots chan struct{}
	pool  sync.Pool

	mu   sync.Mutex
	open map[string]*writer
}

// New returns the results in dir, which is made when the first one is written.
func New(dir string) *Directory {
	d := &Directory{
		dir:   dir,
		slots: make(chan struct{}, runtime.GOMAXPROCS(0)+1),
		open:  map[string]*writer{},
	}
	d.pool.New = func() any {
		b := make([]byte, 0, blockRows*64) // a usual block; append lets it grow
		return &b
	}
	return d
}

// path returns the file of an operation. Only ids that cannot leave the directory
// are let through: letters, digits and dashes.
func (d *Directory) path(id, suffix string) (string, error) {
	foreign := func(r rune) bool {
		return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}
	if id == "" || len(id) > 64 || strings.ContainsFunc(id, foreign) {
		return "", fmt.Errorf("name result %q: not an operation id", id)
	}
	return filepath.Join(d.dir, id+suffix), nil
}

// Begin makes an empty, open result; what an earlier process left of it goes.
func (d *Directory) Begin(id string) error {
	path, err := d.path(id, openSuffix)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open[id] != nil {
		return fmt.Errorf("begin result %s: it is open already", id)
	}
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return fmt.Errorf("create results directory: %w", err)
	}
	if err := removeFile(strings.TrimSuffix(path, openSuffix) + committedSuffix); err != nil {
		return err
	}
	if err := checkFree(d.dir); err != nil {
		return fmt.Errorf("begin result %s: %w", id, err)
	}
	w, err := newWriter(path, d.slots, &d.pool)
	if err != nil {
		return err
	}
	d.open[id] = w
	return nil
}

// checkFree is an error where a file system has less than leastFree to spare.
func checkFree(dir string) error {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return fmt.Errorf("look at file system of %s: %w", dir, err)
	}
	if free := s.Bavail * uint64(s.Bsize); free < leastFree {
		return fmt.Errorf("file system of %s has %d bytes free, and %d are to stay", dir, free, leastFree)
	}
	return nil
}

func (d *Directory) writer(id string) *writer {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.open[id]
}

// Append adds rows to an open result. It blocks while the blocks before are being
// compressed, so that memory is bounded.
func (d *Directory) Append(id string, block sluice.FlowBlock) error {
	w := d.writer(id)
	if w == nil {
		return fmt.Errorf("append to result %s: %w", id, errClosed)
	}
	if err := w.append(block); err != nil {
		return fmt.Errorf("append to result %s: %w", id, err)
	}
	return nil
}

// Commit closes a result: when it returns, the rows are on the disk. Of a result
// that is committed already it returns the number of rows again. After an error
// the result is gone.
func (d *Directory) Commit(id string) (int64, error) {
	path, err := d.path(id, committedSuffix)
	if err != nil {
		return 0, err
	}
	w := d.writer(id)
	if w == nil {
		s, err := openSegment(path)
		if err != nil {
			return 0, err
		}
		defer s.close()
		return s.rows, nil
	}
	rows, err := w.finish()
	d.mu.Lock()
	delete(d.open, id)
	d.mu.Unlock()
	if err != nil {
		return 0, fmt.Errorf("commit result %s: %w", id, errors.Join(err, removeFile(w.path)))
	}
	if err := os.Rename(w.path, path); err != nil {
		return 0, fmt.Errorf("commit result %s: %w", id, errors.Join(err, removeFile(w.path)))
	}
	if err := d.sync(); err != nil {
		return 0, fmt.Errorf("commit result %s: %w", id, err)
	}
	return rows, nil
}

// sync makes the names in the directory durable.
func (d *Directory) sync() error {
	f, err := os.Open(d.dir)
	if err != nil {
		return fmt.Errorf("open results directory: %w", err)
	}
	return errors.Join(f.Sync(), f.Close())
}

// Read returns up to limit rows of a committed result from row offset on.
func (d *Directory) Read(id string, offset int64, limit int) ([]sluice.Flow, error) {
	path, err := d.path(id, committedSuffix)
	if err != nil {
		return nil, err
	}
	if offset < 0 || limit < 0 {
		return nil, fmt.Errorf("read result %s: offset %d or limit %d is negative", id, offset, limit)
	}
	s, err := openSegment(path)
	if err != nil {
		return nil, err
	}
	defer s.close()
	rows, err := s.read(offset, limit)
	if err != nil {
		return nil, fmt.Errorf("read result %s: %w", id, err)
	}
	return rows, nil
}

// Delete removes a result, open or not; one that is not there is no error.
func (d *Directory) Delete(id string) error {
	path, err := d.path(id, committedSuffix)
	if err != nil {
		return err
	}
	d.mu.Lock()
	w := d.open[id]
	delete(d.open, id)
	d.mu.Unlock()
	if w != nil {
		if err := w.abandon(); err != nil {
			return err
		}
	}
	return errors.Join(removeFile(path), removeFile(strings.TrimSuffix(path, committedSuffix)+openSuffix))
}

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove result: %w", err)
	}
	return nil
}

// List returns the ids of all results on disk, committed or not, each once.
func (d *Directory) List() ([]string, error) {
	files, err := os.ReadDir(d.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list results: %w", err)
	}
	var ids []string
	for _, f := range files {
		id, isOpen := strings.CutSuffix(f.Name(), openSuffix)
		if !isOpen {
			var committed bool
			if id, committed = strings.CutSuffix(f.Name(), committedSuffix); !committed {
				continue
			}
		}
		if len(ids) == 0 || ids[len(ids)-1] != id { // the two files of an id are neighbours
			ids = append(ids, id)
		}
	}
	return ids, nil
}
