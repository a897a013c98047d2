package daemon

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
)

// PrepareStateDir makes the state directory, for its owner alone. A directory of
// somebody else is an error, since they could read and replace the keys in it.
func PrepareStateDir(dir string, log *slog.Logger) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make state directory: %w", err)
	}
	return requirePrivate(dir, 0o700, log)
}

// requirePrivate corrects the mode of a file or directory that others could read,
// and says so: whoever widened it should know.
func requirePrivate(path string, mode fs.FileMode, log *slog.Logger) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("check mode: %w", err)
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok && int(s.Uid) != os.Geteuid() {
		return fmt.Errorf("check owner of %s: belongs to user %d, not to %d", path, s.Uid, os.Geteuid())
	}
	if info.Mode().Perm()&0o077 == 0 {
		return nil
	}
	if err := os.Chmod(path, mode); err != nil {
		return fmt.Errorf("narrow mode: %w", err)
	}
	log.Warn("others had access; the mode is corrected", "path", path, "was", info.Mode().Perm().String())
	return nil
}

// writeFile replaces a file so that a crash leaves the old or the new one.
func writeFile(path string, content []byte, mode fs.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", path, errors.Join(err, os.Remove(f.Name())))
		}
	}()
	_, err = f.Write(content)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// tokenKeyBytes is the size of the key that signs tokens: as long as the digest
// of HMAC-SHA-256 (RFC 2104 §3).
const tokenKeyBytes = 32

// TokenKey reads the key that signs pagination tokens, or makes one when there is
// none. It stays the same over restarts, so that tokens do too.
func TokenKey(stateDir string, log *slog.Logger) ([]byte, error) {
	path := filepath.Join(stateDir, "token.key")
	key, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		key = make([]byte, tokenKeyBytes)
		rand.Read(key) // never fails since Go 1.24
		return key, writeFile(path, key, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("read token key: %w", err)
	}
	if len(key) != tokenKeyBytes {
		return nil, fmt.Errorf("read token key %s: %d bytes, want %d; remove it to have a new one made", path, len(key), tokenKeyBytes)
	}
	return key, requirePrivate(path, 0o600, log)
}
