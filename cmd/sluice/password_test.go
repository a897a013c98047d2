package main

import (
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

func TestHashedPasswordsAreAccepted(t *testing.T) {
	hash, err := hashPassword("s3cret é")
	if err != nil || bcrypt.CompareHashAndPassword([]byte(hash), []byte("s3cret é")) != nil {
		t.Errorf("%q, %v", hash, err)
	}
	for _, bad := range []string{"", strings.Repeat("x", maxPassword+1)} {
		if hash, err := hashPassword(bad); err == nil {
			t.Errorf("%d bytes: %q", len(bad), hash)
		}
	}
}
