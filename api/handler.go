package api

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"sluice"
	"sluice/api/sigv4"
	"sluice/api/wire"
)

// Recommended settings of the http.Server around this handler. A body of the largest
// size passes ReadTimeout at 140 kB/s; an operation that waits for nothing but the
// store fits WriteTimeout many times.
const (
	ReadHeaderTimeout = 10 * time.Second
	ReadTimeout       = 60 * time.Second
	WriteTimeout      = 120 * time.Second
	IdleTimeout       = 120 * time.Second
	MaxHeaderBytes    = 64 << 10
)

// DefaultMaxBody is the largest request body, in bytes. A rule string of the largest
// size that AWS takes, 2,000,000 bytes, fits in any JSON escaping but the worst.
const DefaultMaxBody = 8 << 20

// Observer is told of every request that was answered: the service and operation
// ("" when none of the table was meant), "OK" or the error code, and how long it
// took. It is called from many goroutines.
type Observer func(service, operation, code string, took time.Duration)

// Options is what the door needs.
type Options struct {
	Backend  Backend
	Keys     sigv4.Keys
	TokenKey []byte           // of page tokens; nil makes a random one, so that tokens end with the process
	Clock    func() time.Time // nil is time.Now
	Logger   *slog.Logger     // nil discards
	MaxBody  int64            // bytes; 0 is DefaultMaxBody
	Observer Observer         // may be nil
}

type handler struct {
	backend    Backend
	keys       sigv4.Keys
	tokens     wire.Tokens
	clock      func() time.Time
	log        *slog.Logger
	maxBody    int64
	observe    Observer
	operations map[string]map[string]operation // by service and name
	shapes     wire.Shapes
}

// New makes the door: one handler for all services.
func New(o Options) http.Handler {
	h := &handler{
		backend: o.Backend, keys: o.Keys, tokens: tokensOf(o.TokenKey), clock: o.Clock, log: o.Logger,
		maxBody: o.MaxBody, observe: o.Observer,
		operations: map[string]map[string]operation{}, shapes: firewallShapes(),
	}
	if len(o.TokenKey) == 0 {
		key := make([]byte, 32)
		rand.Read(key) // never fails since Go 1.24
		h.tokens = tokensOf(key)
	}
	if h.clock == nil {
		h.clock = time.Now
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	if h.maxBody == 0 {
		h.maxBody = DefaultMaxBody
	}
	if h.observe == nil {
		h.observe = func(string, string, string, time.Duration) {}
	}
	for _, op := range operations() {
		if h.operations[op.service] == nil {
			h.operations[op.service] = map[string]operation{}
		}
		h.operations[op.service][op.name] = op
	}
	return h
}

// exchange is one request and its answer.
type exchange struct {
	*handler
	r         *http.Request
	requestID string
	door      protocol
	operation string // "" until one of the table is meant
	body      []byte
	params    []wire.Parameter // of a query, once it has been read
}

// reply is an answer, ready to be sent.
type reply struct {
	status      int
	contentType string
	body        []byte
	code        string // the error code, "" for success
}

// ServeHTTP answers one request.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	x := &exchange{handler: h, r: r, requestID: sluice.NewUUID(), door: doorOf(r)}
	answer := x.answer()
	header := w.Header()
	// Set directly, since AWS spells these names in its own way.
	header["x-amzn-RequestId"] = []string{x.requestID}
	if answer.code != "" && x.door.service() == serviceFirewall {
		header["x-amzn-ErrorType"] = []string{answer.code}
	}
	// The Go SDK corrects its clock by the Date of an error.
	header.Set("Date", h.clock().UTC().Format(http.TimeFormat))
	header.Set("Content-Type", answer.contentType)
	header.Set("Content-Length", strconv.Itoa(len(answer.body)))
	if answer.status == http.StatusRequestEntityTooLarge {
		header.Set("Connection", "close")
	}
	w.WriteHeader(answer.status)
	if _, err := w.Write(answer.body); err != nil {
		h.log.Debug("write answer", "request", x.requestID, "error", err)
	}
	code := answer.code
	if code == "" {
		code = "OK"
	}
	h.observe(x.door.service(), x.operation, code, time.Since(began))
}

// answer makes the answer of a request whatever happens, a panic included.
func (x *exchange) answer() (out reply) {
	defer func() {
		if p := recover(); p != nil {
			x.log.Error("request panicked", "request", x.requestID, "operation", x.operation,
				"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			out = x.fail(x.door.internal())
		}
	}()
	body, err := x.read()
	if err != nil {
		return x.fail(x.fault(err))
	}
	x.body = body
	result, err := x.serve()
	if err == nil {
		out, err = x.door.success(x, result)
	}
	if err != nil {
		return x.fail(x.fault(err))
	}
	return out
}

// read takes the body in, up to the limit.
func (x *exchange) read() ([]byte, error) {
	tooLarge := &fault{http.StatusRequestEntityTooLarge, x.door.tooLarge(),
		"The request body is larger than " + strconv.FormatInt(x.maxBody, 10) + " bytes"}
	if x.r.ContentLength > x.maxBody {
		return nil, tooLarge
	}
	body, err := io.ReadAll(io.LimitReader(x.r.Body, x.maxBody+1))
	if err != nil {
		return nil, &fault{http.StatusBadRequest, "RequestTimeout", "The request body could not be read"}
	}
	if int64(len(body)) > x.maxBody {
		return nil, tooLarge
	}
	return body, nil
}

// serve carries the request out, in the order of the AWS front end: what can be said
// without knowing the caller, the signature, types, constraints, business.
func (x *exchange) serve() (any, error) {
	d, err := x.door.prepare(x)
	if err != nil {
		return nil, err
	}
	x.door = d
	identity, err := x.authenticate()
	if err != nil {
		return nil, err
	}
	op, err := d.operation(x)
	if err != nil {
		return nil, err
	}
	request := op.request()
	if err := d.decode(x, request); err != nil {
		return nil, err
	}
	c := &call{handler: x.handler, operation: op.name, identity: identity, host: x.r.Host}
	return op.handle(x.r.Context(), c, request)
}

func (x *exchange) authenticate() (sigv4.Identity, error) {
	v := sigv4.Verifier{Keys: x.keys, Region: x.backend.Scope().Region, Clock: x.clock}
	identity, err := v.Verify(x.r, x.body, x.door.service())
	if err != nil {
		if refused, ok := errors.AsType[*sigv4.Error](err); ok {
			return identity, x.door.unauthentic(refused)
		}
		return identity, err
	}
	return identity, nil
}

// fault makes of an error what the caller may see. An error that was not made for
// callers is logged and becomes an internal one.
func (x *exchange) fault(err error) *fault {
	if f, ok := errors.AsType[*fault](err); ok {
		return f
	}
	if e, ok := errors.AsType[*sluice.Error](err); ok {
		if f, ok := x.door.faults()[e.Kind]; ok {
			f.message = e.Message
			if e.Code != "" && x.door.service() == serviceEC2 {
				f.code = e.Code
			}
			return &f
		}
	}
	level := slog.LevelError
	if x.r.Context().Err() != nil {
		level = slog.LevelDebug // the caller has gone; nobody reads the answer
	}
	x.log.Log(x.r.Context(), level, "request failed", "request", x.requestID, "operation", x.operation, "error", err)
	return x.door.internal()
}

func (x *exchange) fail(f *fault) reply {
	x.log.Debug("request refused", "request", x.requestID, "service", x.door.service(),
		"operation", x.operation, "code", f.code)
	out := x.door.failure(x, f)
	out.status, out.code = f.status, f.code
	return out
}
