package main

import (
	"errors"
	"fmt"
	"os"
)

// owner returns the directory that the lab of these names belongs to; "" is that
// nobody has recorded one. The record is a symbolic link, since that is made as a
// whole or not at all.
func (c labConfig) owner() (string, error) {
	if c.Owner == "" {
		return c.Dir, nil
	}
	dir, err := os.Readlink(c.Owner)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read owner of the lab: %w", err)
	}
	return dir, nil
}

// checkOwner refuses to work on the lab of another directory.
func (c labConfig) checkOwner() error {
	owner, err := c.owner()
	if err != nil {
		return err
	}
	if owner == "" || owner == c.Dir {
		return nil
	}
	return fmt.Errorf("the lab of this host belongs to %s, not to %s: sluice lab down --dir %s removes it",
		owner, c.Dir, shellQuote(owner))
}

// recordOwner makes the lab that of its directory, if it is nobody else's.
func (c labConfig) recordOwner() error {
	if c.Owner == "" {
		return nil
	}
	err := os.Symlink(c.Dir, c.Owner)
	if errors.Is(err, os.ErrExist) {
		return c.checkOwner()
	}
	if err != nil {
		return fmt.Errorf("record owner of the lab: %w", err)
	}
	return nil
}

// forgetOwner removes the record of a lab that is gone.
func (c labConfig) forgetOwner() error {
	owner, err := c.owner()
	if c.Owner == "" || owner != c.Dir {
		return err
	}
	if err := os.Remove(c.Owner); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("forget owner of the lab: %w", err)
	}
	return nil
}
