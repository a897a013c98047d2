package cloudshell

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"golang.org/x/crypto/bcrypt"

	"sluice"
	"sluice/control"
)

// DefaultMaxBody is the largest request body, in bytes.
const DefaultMaxBody = 4 << 20

// User is who may log on.
type User struct {
	Name         string
	PasswordHash string // bcrypt
	Admin        bool
	Domains      []string
}

// Observer is told of every request that was answered: the operation ("" when it is
// none of the table), "OK" or the error code, and how long it took. It is called from
// many goroutines.
type Observer func(operation, code string, took time.Duration)

// Options is what the door needs.
type Options struct {
	Backend  Backend
	Users    []User
	Domain   string // of a log-on that names none
	Provider string // name of the cloud provider resource
	Clock    control.Clock
	Logger   *slog.Logger
	MaxBody  int64    // bytes; 0 is DefaultMaxBody
	Observer Observer // nil: nobody
}

// Door is the front door: two handlers over one table of operations.
type Door struct {
	Options
	users    map[string]User // by name in lower case
	nobody   []byte          // the hash that unknown users are compared with
	tokens   tokens
	throttle throttle
	logons   logons
	flights  flights

	// But in tests AnswerTimeout and anonymousPatience.
	answerTimeout, patience time.Duration
}

// New makes the door. Close waits for what it has begun.
func New(o Options) (*Door, error) {
	if o.MaxBody == 0 {
		o.MaxBody = DefaultMaxBody
	}
	d := &Door{Options: o, answerTimeout: AnswerTimeout, patience: anonymousPatience, users: map[string]User{}, logons: newLogons()}
	// As dear as the dearest, so that time doesn't tell who there is.
	cost := bcrypt.MinCost
	for _, u := range o.Users {
		d.users[strings.ToLower(u.Name)] = u
		c, err := bcrypt.Cost([]byte(u.PasswordHash))
		if err != nil {
			return nil, fmt.Errorf("read password hash of %s: %w", u.Name, err)
		}
		cost = max(cost, c)
	}
	var err error
	if d.nobody, err = bcrypt.GenerateFromPassword([]byte(sluice.NewUUID()), cost); err != nil {
		return nil, fmt.Errorf("hash password of nobody: %w", err)
	}
	return d, nil
}

// Close waits until all commands have ended, or ctx has.
func (d *Door) Close(ctx context.Context) error { return d.flights.wait(ctx) }

// call is a request that is being answered.
type call struct {
	operation string
	params    *element
	token     string
	user      control.SandboxUser // zero until a log-on has succeeded
	claimed   string              // who a log-on says it is
	dates     dates
	address   string // of the client, without its port
	key       string // the same for the same bytes under the same token
	// flight is the command whose outcome, or whose id, the answer tells; nil for none.
	flight *flight
}

// sandboxID is the id that most operations name their sandbox by.
func (c *call) sandboxID() string {
	return strings.ToLower(strings.TrimSpace(c.params.value("reservationId")))
}

// printsOutput tells whether what an operation ends with goes to the sandbox's output.
func (c *call) printsOutput() bool {
	return strings.EqualFold(strings.TrimSpace(c.params.value("printOutput")), "true")
}

// fault is an error of the API.
type fault struct {
	code    int
	message string
	// unauthorized says that there is no valid token, which has a status of its own.
	unauthorized bool
}

// Error returns the message.
func (f *fault) Error() string { return f.message }

func faultf(code int, format string, args ...any) *fault {
	return &fault{code: code, message: fmt.Sprintf(format, args...)}
}

// unauthorized is the fault of a request without a valid token.
func unauthorized() *fault {
	return &fault{control.SandboxErrorGeneral, "The token is not valid or has expired; log on again", true}
}

// hungUp is the fault of a request whose client is gone. Only the log shows it.
func hungUp() *fault { return faultf(control.SandboxErrorGeneral, "The connection ended") }

// faultOf turns an error of the house into one of the protocol. What is no error for
// callers says nothing about the inside; other is the code of those without one.
func (d *Door) faultOf(operation string, err error, other int) *fault {
	var f *fault
	var s *control.SandboxError
	var e *sluice.Error
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &s):
		return faultf(s.Code, "%s", s.Message)
	case errors.As(err, &e) && e.Kind != sluice.KindInternal:
		return faultf(other, "%s", e.Message)
	}
	d.Logger.Error("operation failed", "operation", operation, "error", err)
	return faultf(control.SandboxErrorGeneral, "An internal error occurred")
}

// answer carries an operation out and returns the envelope, and the fault in it.
func (d *Door) answer(ctx context.Context, c *call) (text string, f *fault) {
	defer func() {
		if r := recover(); r != nil {
			d.Logger.Error("operation panicked", "operation", c.operation, "panic", fmt.Sprint(r))
			f = faultf(control.SandboxErrorGeneral, "An internal error occurred")
			text = failed(c.operation, f.code, f.message)
		}
	}()
	i, err := d.perform(ctx, c)
	if err != nil {
		f = d.faultOf(c.operation, err, control.SandboxErrorGeneral)
		return failed(c.operation, f.code, f.message), f
	}
	return succeeded(c.operation, i), nil
}

func (d *Door) perform(ctx context.Context, c *call) (*info, error) {
	for _, o := range operations() {
		if o.name != c.operation {
			continue
		}
		if !o.public {
			u, ok := d.tokens.user(c.token, d.Clock())
			if !ok {
				return nil, unauthorized()
			}
			c.user = u
		}
		return o.run(ctx, d, c)
	}
	return nil, faultf(control.SandboxErrorGeneral, "Operation '%s' is not supported", c.operation)
}
