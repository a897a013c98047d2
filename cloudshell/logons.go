package cloudshell

import (
	"context"
	"net/netip"
	"sync"
)

// How many log-ons are dealt with at a time. What is beyond is refused at once.
const (
	maxInLine = 64 // of one name from one address
	maxSlowed = 4  // of them, once it has failed so often that it has to wait
	// maxStrangers bounds the lines of names that are no user's, of one address. Users
	// have a line each whatever others do. A flood of more names than that so tells which
	// of them are users': that is less than to keep users out.
	maxStrangers = 16
	maxAddresses = 1024
	// maxHashing bounds the passwords that are compared at a time: each takes a processor
	// for a tenth of a second. Of one address it is one.
	maxHashing = 2
)

// logons are the log-ons by name and password that are being dealt with. Those of one
// name from one address form a line and go one by one, so that each waits for what
// the ones before it have failed. Lines of one address take turns at comparing a
// password, and so do addresses: whoever guesses, from however many connections, delays
// a user at another address by a password or two, and one at the same address by a
// password for each other line, besides the bounded delay after failures. Only who has
// both name and address in common with somebody who guesses may be refused; nothing tells
// the two apart. Scripts that log on as one user all at once get in one after the other.
type logons struct {
	mu      sync.Mutex
	from    map[string]*entrance // by address
	hashing chan struct{}
}

// entrance is an address that log-ons come from.
type entrance struct {
	address   string
	lines     map[string]*line // by name
	strangers int              // lines of names that are no user's
	hashing   chan struct{}
}

// line is the log-ons of one name from one address.
type line struct {
	from  *entrance
	name  string
	known bool
	n     int // that have joined and not left; guarded by logons.mu
	first chan struct{}
}

func newLogons() logons {
	return logons{from: map[string]*entrance{}, hashing: make(chan struct{}, maxHashing)}
}

// crowded is the fault of a log-on for which there is no room.
func crowded() *fault {
	return faultf(codeLogon, "Logon failed: too many log-ons are under way; try again in a moment")
}

// join puts a log-on into its line.
func (l *logons) join(address, name string, known bool) (*line, error) {
	address = network(address)
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.from[address]
	if e == nil {
		if len(l.from) >= maxAddresses {
			return nil, crowded()
		}
		e = &entrance{address: address, lines: map[string]*line{}, hashing: make(chan struct{}, 1)}
		l.from[address] = e
	}
	one := e.lines[name]
	if one == nil {
		if !known && e.strangers >= maxStrangers {
			return nil, crowded()
		}
		one = &line{from: e, name: name, known: known, first: make(chan struct{}, 1)}
		e.lines[name] = one
		if !known {
			e.strangers++
		}
	}
	if one.n >= maxInLine {
		return nil, crowded()
	}
	one.n++
	return one, nil
}

// leave takes a log-on out of its line. Lines and entrances without any are forgotten.
func (l *logons) leave(one *line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if one.n--; one.n > 0 {
		return
	}
	e := one.from
	delete(e.lines, one.name)
	if !one.known {
		e.strangers--
	}
	if len(e.lines) == 0 {
		delete(l.from, e.address)
	}
}

// slowed refuses what is too long a line for log-ons that have to wait: the first of it.
func (l *logons) slowed(one *line) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if one.n > maxSlowed {
		return crowded()
	}
	return nil
}

// turn waits until a log-on is the first of its line.
func (one *line) turn(ctx context.Context) error { return take(ctx, one.first) }

// next lets the next of the line go.
func (one *line) next() { <-one.first }

// hash compares a password when the address and then the processor are free for it. An
// error is that nobody waits for that any more.
func (l *logons) hash(ctx context.Context, one *line, compare func() bool) (same bool, err error) {
	if err := take(ctx, one.from.hashing); err != nil {
		return false, err
	}
	defer func() { <-one.from.hashing }()
	if err := take(ctx, l.hashing); err != nil {
		return false, err
	}
	defer func() { <-l.hashing }()
	return compare(), nil
}

// take takes a place; those who wait get theirs in the order in which they came.
func take(ctx context.Context, places chan struct{}) error {
	select {
	case places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return hungUp()
	}
}

// network is what counts as one address: of IPv6 the subnet, in which a host has as
// many addresses as it likes.
func network(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	a = a.Unmap()
	if a.Is4() || a.IsLoopback() {
		return a.String()
	}
	p, err := a.WithZone("").Prefix(64)
	if err != nil {
		return address
	}
	return p.String()
}
