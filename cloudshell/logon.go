package cloudshell

import (
	"context"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/bcrypt"

	"sluice"
	"sluice/control"
)

// The errors of a log-on. Which of name and password is wrong is nobody's business.
const (
	codeLogon    = 100
	codePassword = 118
)

// credentials are what a log-on brings: name and password, or the token of a session.
type credentials struct{ name, password, token, domain string }

func logon(ctx context.Context, d *Door, c *call) (*info, error) {
	return d.logonInfo(ctx, c, credentials{c.params.value("username"), c.params.value("password"), "", c.params.value("domainName")})
}

func secureLogon(ctx context.Context, d *Door, c *call) (*info, error) {
	token := c.params.value("token")
	if token == "" {
		return nil, faultf(codeLogon, "Logon failed: the token is empty")
	}
	return d.logonInfo(ctx, c, credentials{token: token, domain: c.params.value("domainName")})
}

func (d *Door) logonInfo(ctx context.Context, c *call, k credentials) (*info, error) {
	c.claimed = k.name
	token, u, err := d.logOn(ctx, c.address, k)
	if err != nil {
		return nil, err
	}
	c.user = u
	admin := strconv.FormatBool(u.Admin)
	i := newInfo("LogonResponseInfo")
	// The id of a domain follows from its name: it has no other state.
	_, digits, _ := strings.Cut(sluice.DeriveID("domain", strings.ToLower(u.Domain)), "-")
	id := "c0de0000-0000-4000-8000-" + digits[:12]
	i.empty("Domain", "Name", u.Domain, "Description", "", "DomainId", id)
	i.empty("User", "Name", u.Name, "Email", "", "IsAdmin", admin, "IsActive", "true", "IsDomainAdmin", admin, "DomainName", u.Domain)
	i.empty("Token", "Token", token)
	return i, nil
}

// logOn checks credentials and makes a token. Who has failed before waits.
func (d *Door) logOn(ctx context.Context, address string, k credentials) (string, control.SandboxUser, error) {
	var none control.SandboxUser
	if k.token != "" {
		u, ok := d.tokens.user(k.token, d.Clock())
		if !ok {
			return "", none, faultf(codeLogon, "Logon failed: the token is not valid or has expired")
		}
		return d.enter(d.users[strings.ToLower(u.Name)], k.domain)
	}
	name := strings.ToLower(cut(k.name))
	u, known := d.users[strings.ToLower(k.name)]
	line, err := d.logons.join(address, name, known)
	if err != nil {
		return "", none, err
	}
	defer d.logons.leave(line)
	if err := line.turn(ctx); err != nil {
		return "", none, err
	}
	defer line.next()
	// Only now: those before in the line have failed meanwhile.
	keys := []string{"user " + name, "address " + line.from.address}
	if delay := d.throttle.delay(d.Clock(), keys...); delay > 0 {
		if err := d.logons.slowed(line); err != nil {
			return "", none, err
		}
		if err := pause(ctx, delay); err != nil {
			return "", none, err
		}
	}
	hash := d.nobody
	if known {
		hash = []byte(u.PasswordHash)
	}
	same, err := d.logons.hash(ctx, line, func() bool { return bcrypt.CompareHashAndPassword(hash, []byte(k.password)) == nil })
	if err != nil {
		return "", none, err
	}
	if !same || !known {
		d.throttle.failed(d.Clock(), keys...)
		return "", none, faultf(codePassword, "Logon failed: the user name or the password is incorrect")
	}
	d.throttle.succeeded(keys...)
	return d.enter(u, k.domain)
}

// enter makes a token of a user in a domain.
func (d *Door) enter(u User, domain string) (string, control.SandboxUser, error) {
	if domain == "" {
		domain = d.Domain
	}
	domains := u.Domains
	if domains == nil {
		domains = []string{d.Domain}
	}
	for _, own := range domains {
		if strings.EqualFold(own, domain) {
			user := control.SandboxUser{Name: u.Name, Domain: own, Admin: u.Admin}
			return d.tokens.issue(user, d.Clock()), user, nil
		}
	}
	return "", control.SandboxUser{}, faultf(codeLogon, "Domain '%s' doesn't exist or the user is not its member.", cut(domain))
}

// pause waits.
func pause(ctx context.Context, delay time.Duration) error {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return hungUp()
	}
}

func logoff(_ context.Context, d *Door, c *call) (*info, error) {
	d.tokens.revoke(c.token)
	return nil, nil
}

// maxEcho bounds what messages and keys repeat of a request, in bytes.
const maxEcho = 256

func cut(s string) string {
	if len(s) > maxEcho {
		return strings.ToValidUTF8(s[:maxEcho], "") + "..."
	}
	return s
}
