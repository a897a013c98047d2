package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/crypto/bcrypt"
	"golang.org/x/sys/unix"
)

// maxPassword is the longest password that bcrypt takes, in bytes.
const maxPassword = 72

func password(ctx context.Context, s *shell, args []string) error {
	f := newFlags("sluice password", "", "Reads a password from the standard input, up to the end of the line, and prints its hash\n"+
		"for cloudshell.users of the configuration.")
	if _, err := f.parse(s, args, 0, 0); err != nil {
		return err
	}
	restore, err := hidePassword(s)
	if err != nil {
		return err
	}
	line, err := readPassword(ctx)
	if restoreErr := restore(); restoreErr != nil {
		return restoreErr
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read password: %w", err)
	}
	hash, err := hashPassword(strings.TrimRight(line, "\r\n"))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.stdout, hash)
	return err
}

// readPassword reads a line, while ctx has not ended: the process goes on after ctrl-C
// until it has shown again what is typed.
func readPassword(ctx context.Context) (string, error) {
	type result struct {
		line string
		err  error
	}
	done := make(chan result, 1)
	go func() {
		line, err := bufio.NewReader(io.LimitReader(os.Stdin, 4096)).ReadString('\n')
		done <- result{line, err}
	}()
	select {
	case r := <-done:
		return r.line, r.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// hashPassword makes the hash that the configuration keeps.
func hashPassword(password string) (string, error) {
	if password == "" {
		return "", errors.New("the password is empty")
	}
	if len(password) > maxPassword {
		return "", fmt.Errorf("the password is longer than %d bytes", maxPassword)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)
	if err != nil {
		return "", fmt.Errorf("hash password: %w", err)
	}
	return string(hash), nil
}

// hidePassword asks for a password on a terminal and turns its echo off; restore turns
// it on again. Elsewhere it does nothing.
func hidePassword(s *shell) (restore func() error, err error) {
	fd := int(os.Stdin.Fd())
	before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil { // no terminal
		return func() error { return nil }, nil
	}
	hidden := *before
	hidden.Lflag &^= unix.ECHO
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &hidden); err != nil {
		return nil, fmt.Errorf("hide password: %w", err)
	}
	fmt.Fprint(s.stderr, "Password: ")
	return func() error {
		fmt.Fprintln(s.stderr)
		if err := unix.IoctlSetTermios(fd, unix.TCSETS, before); err != nil {
			return fmt.Errorf("show what is typed again: %w", err)
		}
		return nil
	}, nil
}
