package cloudshell

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"sluice/control"
)

// The paths of CloudShell's Sandbox API that there are here: its log-on, and the one
// operation by which the output of a sandbox is read. The Automation API has none.
const (
	sandboxLoginPath = "/api/login"
	sandboxesPath    = "/api/v2/sandboxes/"
	outputSuffix     = "/output"
)

// sandboxOutput is the answer, in CloudShell's spelling. Lines have no id and no time
// here, and come all at once.
type sandboxOutput struct {
	Returned int                   `json:"number_of_returned_entries"`
	Next     *string               `json:"next_entry_id"`
	More     bool                  `json:"more_pages"`
	Entries  []outputEntry         `json:"entries"`
	Links    map[string]outputLink `json:"_links"`
}

type outputEntry struct {
	Text string `json:"text"`
}

// outputLink says how a resource is asked for.
type outputLink struct {
	Reference string `json:"href"`
	Method    string `json:"method"`
}

// outputSandbox cuts the id out of the path of a sandbox's output.
func outputSandbox(path string) (id string, ok bool) {
	path = strings.ToLower(strings.TrimSuffix(path, "/"))
	id, ok = strings.CutPrefix(path, sandboxesPath)
	if !ok {
		return "", false
	}
	id, ok = strings.CutSuffix(id, outputSuffix)
	return id, ok && id != "" && !strings.Contains(id, "/")
}

// serveOutput answers with the last lines of a sandbox's output, in JSON.
func (d *Door) serveOutput(w http.ResponseWriter, r *http.Request, id string) {
	started := d.Clock()
	c := &call{operation: "GetSandboxOutput", token: sandboxToken(r.Header.Get("Authorization")), address: clientAddress(r)}
	out, status, err := d.sandboxOutput(r, c, id)
	var f *fault
	var answer any = out
	if err != nil {
		f = d.faultOf(c.operation, err, control.SandboxErrorGeneral)
		answer = map[string]string{"message": f.message}
	}
	text, err := json.Marshal(answer)
	if err != nil { // never of strings
		status, text = http.StatusInternalServerError, nil
	}
	d.observe(c, f, started)
	d.logWrite(d.write(w, status, "application/json; charset=utf-8", string(text)))
}

// sandboxOutput reads the lines, of which tail may ask for the last ones alone.
func (d *Door) sandboxOutput(r *http.Request, c *call, id string) (out sandboxOutput, status int, err error) {
	u, ok := d.tokens.user(c.token, d.Clock())
	if !ok {
		return out, http.StatusUnauthorized, unauthorized()
	}
	c.user = u
	if r.Method != http.MethodGet {
		return out, http.StatusMethodNotAllowed, faultf(control.SandboxErrorGeneral, "The output of a sandbox is read with GET")
	}
	query := r.URL.Query()
	tail := -1
	for name, values := range query {
		n, err := strconv.Atoi(values[0])
		switch {
		case name != "tail":
			return out, http.StatusBadRequest, faultf(control.SandboxErrorGeneral, "The parameter '%s' is not supported; tail is", cut(name))
		case err != nil || n < 1 || len(values) > 1:
			return out, http.StatusBadRequest, faultf(control.SandboxErrorGeneral, "tail is '%s', want a whole number from 1 on", cut(values[0]))
		}
		tail = n
	}
	lines, err := d.Backend.SandboxOutput(r.Context(), u, id)
	if err != nil {
		return out, http.StatusBadRequest, err
	}
	if tail >= 0 && len(lines) > tail {
		lines = lines[len(lines)-tail:]
	}
	out.Returned, out.Entries = len(lines), []outputEntry{}
	for _, line := range lines {
		out.Entries = append(out.Entries, outputEntry{line})
	}
	out.Links = map[string]outputLink{"self": {"/sandboxes/" + id + outputSuffix, http.MethodGet}}
	return out, http.StatusOK, nil
}

// sandboxToken reads the token of the Sandbox API, whose scheme is called Basic and is
// not HTTP's.
func sandboxToken(header string) string {
	if scheme, token, _ := strings.Cut(header, " "); strings.EqualFold(scheme, "Basic") {
		return strings.TrimSpace(token)
	}
	return bearerToken(header)
}
