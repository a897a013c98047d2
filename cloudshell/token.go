package cloudshell

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"sync"
	"time"

	"sluice/control"
)

// TokenLifetime is how long a token is good for after its log-on: CloudShell's default.
const TokenLifetime = 5 * time.Hour

// maxTokens bounds the tokens of each user, of whom the configuration knows all. The
// oldest of a user's goes when another is made.
const maxTokens = 1000

// session is what a token stands for.
type session struct {
	user    control.SandboxUser
	expires time.Time
}

// tokens are the sessions by the hash of their tokens, so that a look-up's time says
// nothing about a token. They end with the process: clients log on again.
type tokens struct {
	mu       sync.Mutex
	sessions map[[sha256.Size]byte]session
}

// issue makes a token.
func (t *tokens) issue(u control.SandboxUser, now time.Time) string {
	var raw [24]byte
	rand.Read(raw[:]) // never fails since Go 1.24
	token := base64.RawURLEncoding.EncodeToString(raw[:])
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.sessions == nil {
		t.sessions = map[[sha256.Size]byte]session{}
	}
	t.makeRoom(u.Name, now)
	t.sessions[sha256.Sum256([]byte(token))] = session{u, now.Add(TokenLifetime)}
	return token
}

// makeRoom removes what has expired of a user's tokens, and the oldest where there are
// too many still.
func (t *tokens) makeRoom(name string, now time.Time) {
	var oldest [sha256.Size]byte
	var first time.Time
	n := 0
	for k, s := range t.sessions {
		if s.user.Name != name {
			continue
		}
		if !now.Before(s.expires) {
			delete(t.sessions, k)
			continue
		}
		if n++; first.IsZero() || s.expires.Before(first) {
			oldest, first = k, s.expires
		}
	}
	if n >= maxTokens {
		delete(t.sessions, oldest)
	}
}

// user returns whose a token is.
func (t *tokens) user(token string, now time.Time) (control.SandboxUser, bool) {
	key := sha256.Sum256([]byte(token))
	t.mu.Lock()
	defer t.mu.Unlock()
	s, ok := t.sessions[key]
	if ok && !now.Before(s.expires) {
		delete(t.sessions, key)
		ok = false
	}
	return s.user, ok
}

// revoke ends a token.
func (t *tokens) revoke(token string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.sessions, sha256.Sum256([]byte(token)))
}
