package cloudshell

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"sluice/control"
)

// Recommended settings of the http.Server around the handlers. There is no time-out for
// answers: clients repeat a command whose connection ends, so it has to stay open
// while one runs, and a connection between calls has to live for minutes.
const (
	ReadHeaderTimeout = 10 * time.Second
	ReadTimeout       = 60 * time.Second
	IdleTimeout       = 5 * time.Minute
	// AnswerTimeout is how long a client may take to receive an answer once it is there.
	AnswerTimeout  = 30 * time.Second
	MaxHeaderBytes = 64 << 10
)

// maxAnonymousBody is the largest body of a request without a valid token, in bytes: a
// log-on is no larger.
const maxAnonymousBody = 64 << 10

// anonymousPatience is how long the body of such a request may take: a place at the door
// is not to be had for nothing.
const anonymousPatience = 5 * time.Second

// The paths of operations: of the Automation API, and of the REST variant, whose
// clients send two slashes.
const (
	automationPath = "/ResourceManagerApiService/"
	loginPath      = "/Api/Auth/Login"
	webAPIPath     = "/Api/RmApi/"
)

var operationPattern = regexp.MustCompile(`^[A-Za-z0-9_]{1,100}$`)

// AutomationHandler answers the Automation API: XML over HTTP. Errors of the API have
// status 200, which is what clients read; a token that isn't valid has 401.
func (d *Door) AutomationHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, ok := operationOf(r.URL.Path, automationPath)
		token := authorizationToken(r.Header.Get("Authorization"))
		d.serve(w, r, name, ok, token, func(c *call, body []byte) error {
			var err error
			if c.params, err = parseXML(body); err != nil {
				return faultf(control.SandboxErrorGeneral, "%s", err)
			}
			if c.params.name != name {
				return faultf(control.SandboxErrorGeneral, "The path names the operation '%s' and the body '%s'", name, cut(c.params.name))
			}
			return nil
		})
	})
}

// WebAPIHandler answers the REST variant: JSON in, the envelope of the Automation API
// out. Both know each other's tokens. Beside it a sandbox's output is read.
func (d *Door) WebAPIHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := strings.Replace(r.URL.Path, "//", "/", 1)
		if end := strings.TrimSuffix(path, "/"); strings.EqualFold(end, loginPath) || strings.EqualFold(end, sandboxLoginPath) {
			d.serveLogin(w, r)
			return
		}
		if id, ok := outputSandbox(path); ok {
			d.serveOutput(w, r, id)
			return
		}
		name, ok := webOperationOf(path)
		d.serve(w, r, name, ok, bearerToken(r.Header.Get("Authorization")), func(c *call, body []byte) error {
			if len(bytes.TrimSpace(body)) == 0 { // clients send none where there are no parameters
				body = []byte("{}")
			}
			value, err := parseJSON(body)
			if err != nil {
				return faultf(control.SandboxErrorGeneral, "The body is not valid JSON: %s", err)
			}
			if _, ok := value.(*jsonObject); !ok && value != nil {
				return faultf(control.SandboxErrorGeneral, "The body is not a JSON object")
			}
			c.params = elementOf(name, value)
			return nil
		})
	})
}

// operationOf cuts the operation out of a path.
func operationOf(path, prefix string) (string, bool) {
	name, ok := strings.CutPrefix(path, prefix)
	name = strings.TrimSuffix(name, "/")
	return name, ok && operationPattern.MatchString(name)
}

// webOperationOf cuts the operation out of a path of the REST variant, where case is
// nothing, and returns it as the table spells it.
func webOperationOf(path string) (string, bool) {
	if len(path) < len(webAPIPath) || !strings.EqualFold(path[:len(webAPIPath)], webAPIPath) {
		return "", false
	}
	name, ok := operationOf(webAPIPath+path[len(webAPIPath):], webAPIPath)
	for _, o := range operations() {
		if strings.EqualFold(o.name, name) {
			name = o.name
		}
	}
	return name, ok
}

// serve answers one request whose body decode reads.
func (d *Door) serve(w http.ResponseWriter, r *http.Request, name string, known bool, token string, decode func(*call, []byte) error) {
	started := d.Clock()
	c := &call{operation: name, token: token, dates: datesOf(r.Header), address: clientAddress(r)}
	limit, patience := d.MaxBody, time.Duration(0)
	_, authorized := d.tokens.user(token, started)
	if !authorized {
		limit, patience = min(limit, maxAnonymousBody), d.patience
	}
	body, err := readBody(w, r, limit, d.MaxBody, patience)
	switch {
	case errors.Is(err, errLargeBody) && !authorized && wantsToken(name):
		err = unauthorized() // clients with a stale token log on again
	case err != nil:
	case !known:
		c.operation, err = "", faultf(control.SandboxErrorGeneral, "The path %q names no operation", cut(r.URL.Path))
	case r.Method != http.MethodPost:
		err = faultf(control.SandboxErrorGeneral, "Operation '%s' is called with POST", name)
	default:
		err = decode(c, body)
	}
	var text string
	var f *fault
	if err != nil {
		f = d.faultOf(name, err, control.SandboxErrorGeneral)
		text = failed(c.operation, f.code, f.message)
	} else {
		c.key = requestKey(c, body)
		text, f = d.answer(r.Context(), c)
	}
	status := http.StatusOK
	// Python's urllib would show the status and hide the text.
	if f != nil && f.unauthorized && !strings.HasPrefix(r.UserAgent(), "Python-urllib/") {
		status = http.StatusUnauthorized
	}
	d.observe(c, f, started)
	// A connection that has ended before the answer is written never gets it. One that
	// ends afterwards says nothing: clients close it as soon as they have read the answer.
	// By then they may have sent the next request too, so the command is settled first.
	gone := r.Context().Err() != nil
	if c.flight != nil && !gone {
		d.flights.forget(c.key, c.flight)
	}
	err = d.write(w, status, "text/xml; charset=utf-8", text)
	if err == nil && !gone {
		return
	}
	d.Logger.Debug("answer not delivered", "operation", c.operation, "error", err)
	if c.flight != nil {
		d.flights.keep(c.key, c.flight)
	}
}

// serveLogin is the log-on of the REST variant. Its answer is a JSON string.
func (d *Door) serveLogin(w http.ResponseWriter, r *http.Request) {
	started := d.Clock()
	c := &call{operation: "Logon", address: clientAddress(r)}
	refuse := func(f *fault) {
		d.observe(c, f, started)
		d.logWrite(d.write(w, http.StatusUnauthorized, "text/plain; charset=utf-8", f.message))
	}
	body, err := readBody(w, r, min(d.MaxBody, maxAnonymousBody), d.MaxBody, d.patience)
	if err == nil && r.Method != http.MethodPut && r.Method != http.MethodPost {
		err = faultf(control.SandboxErrorGeneral, "Log on with PUT")
	}
	if err != nil {
		refuse(d.faultOf(c.operation, err, control.SandboxErrorGeneral))
		return
	}
	value, err := parseJSON(body)
	o, ok := value.(*jsonObject)
	if err != nil || !ok {
		refuse(faultf(control.SandboxErrorGeneral, "The body is not a JSON object"))
		return
	}
	fields := map[string]string{}
	for _, key := range o.keys {
		if s, ok := o.values[key].(string); ok {
			fields[strings.ToLower(key)] = s
		}
	}
	c.claimed = fields["username"]
	token, _, err := d.logOn(r.Context(), c.address, credentials{fields["username"], fields["password"], fields["token"], fields["domain"]})
	if err != nil {
		refuse(d.faultOf(c.operation, err, control.SandboxErrorGeneral))
		return
	}
	quoted, err := json.Marshal(token)
	if err != nil { // never of a string
		refuse(d.faultOf(c.operation, err, control.SandboxErrorGeneral))
		return
	}
	d.observe(c, nil, started)
	d.logWrite(d.write(w, http.StatusOK, "application/json; charset=utf-8", string(quoted)))
}

func (d *Door) logWrite(err error) {
	if err != nil {
		d.Logger.Debug("answer not delivered", "error", err)
	}
}

// errLargeBody is a body beyond its limit.
var errLargeBody = errors.New("the body is too large")

// readBody reads a body of at most limit bytes. What is longer is passed over, up to
// the largest that anybody may send: clients read no answer while they send. It takes as
// long as patience says, or, where that is 0, as the server's time-outs allow.
func readBody(w http.ResponseWriter, r *http.Request, limit, largest int64, patience time.Duration) (body []byte, err error) {
	if patience > 0 {
		// A body that is late is not waited for by the server either, so the time-out is
		// taken back only behind one that is whole.
		if err := setReadDeadline(w, time.Now().Add(patience)); err != nil {
			return nil, err
		}
		defer func() {
			if err == nil {
				err = setReadDeadline(w, time.Time{})
			}
		}()
	}
	from := http.MaxBytesReader(w, r.Body, max(limit, largest))
	body, err = io.ReadAll(io.LimitReader(from, limit+1))
	long := int64(len(body)) > limit
	if long {
		_, err = io.Copy(io.Discard, from)
	}
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large) || long && err == nil:
		return nil, fmt.Errorf("%w: %w", errLargeBody, faultf(control.SandboxErrorGeneral, "The body is larger than %d bytes", limit))
	case err != nil:
		return nil, faultf(control.SandboxErrorGeneral, "The body can't be read: %s", err)
	}
	return body, nil
}

func setReadDeadline(w http.ResponseWriter, t time.Time) error {
	if err := http.NewResponseController(w).SetReadDeadline(t); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("bound time of body: %w", err)
	}
	return nil
}

// write sends an answer whole. Clients are told its length, and nothing is cached.
func (d *Door) write(w http.ResponseWriter, status int, contentType, text string) error {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(text)))
	h.Set("Cache-Control", "no-store")
	answer := http.NewResponseController(w)
	if err := answer.SetWriteDeadline(time.Now().Add(d.answerTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("write answer: %w", err)
	}
	w.WriteHeader(status)
	if _, err := io.WriteString(w, text); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	if err := answer.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("write answer: %w", err)
	}
	return nil
}

// observe tells the observer and the log; neither is told what a caller made up.
func (d *Door) observe(c *call, f *fault, started time.Time) {
	name, code := "", "OK"
	for _, o := range operations() {
		if o.name == c.operation {
			name = o.name
		}
	}
	if f != nil {
		code = strconv.Itoa(f.code)
		d.Logger.Info("request failed", "operation", c.operation, "user", cmp.Or(c.user.Name, cut(c.claimed)), "client", c.address, "code", code, "error", f.message)
	} else {
		d.Logger.Debug("request", "operation", c.operation, "user", c.user.Name, "client", c.address)
	}
	if d.Observer != nil {
		d.Observer(name, code, d.Clock().Sub(started))
	}
}

// authorizationToken reads "MachineName=host:port;Token=...". Before a log-on the token
// is empty, or null.
func authorizationToken(header string) string {
	for field := range strings.SplitSeq(header, ";") {
		key, value, _ := strings.Cut(field, "=")
		if strings.EqualFold(strings.TrimSpace(key), "Token") {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func bearerToken(header string) string {
	scheme, token, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

func clientAddress(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

func requestKey(c *call, body []byte) string {
	h := sha256.New()
	fmt.Fprintf(h, "%d:%s,%s,", len(c.token), c.token, c.operation)
	h.Write(body)
	return string(h.Sum(nil))
}
