package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"sluice/internal/testnet"
)

func TestALabIsOnlyThatOfItsDirectory(t *testing.T) {
	requireRoot(t)
	dir := t.TempDir()
	mine := labConfig{Dir: filepath.Join(dir, "mine"), Owner: filepath.Join(dir, "owner"), API: labAPI, Admin: labAdmin,
		Network: testnet.Lab("own-" + strconv.Itoa(os.Getpid()) + "-")}
	other := mine
	other.Dir = filepath.Join(dir, "other")
	t.Cleanup(func() {
		if err := removeLab(mine); err != nil {
			t.Error(err)
		}
	})
	var out bytes.Buffer
	s := &shell{stdout: &out, stderr: &out}
	if err := upLab(s, mine); err != nil {
		t.Fatal(err)
	}
	for name, verb := range map[string]func() error{
		"up":     func() error { return upLab(s, other) },
		"status": func() error { return statusOfLab(s, other) },
		"down":   func() error { return downLab(context.Background(), s, other) },
		"create": func() error { return createLab(other) },
	} {
		if err := verb(); err == nil || !strings.Contains(err.Error(), "belongs to "+mine.Dir) {
			t.Errorf("%s with another directory: %v", name, err)
		}
	}
	if err := statusOfLab(s, mine); err != nil {
		t.Errorf("the lab did not outlive it: %v", err)
	}
	if _, err := os.Stat(other.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the other directory: %v", err)
	}
	if err := downLab(t.Context(), s, mine); err != nil {
		t.Fatal(err)
	}
	if err := upLab(s, other); err != nil {
		t.Errorf("up with another directory, after down: %v", err)
	}
	if err := downLab(t.Context(), s, mine); err == nil {
		t.Error("down of what is another's now")
	}
	if err := downLab(t.Context(), s, other); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(mine.Owner); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the record was left: %v", err)
	}
}
