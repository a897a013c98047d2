package cloudshell

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"sluice/control"
)

const (
	sandboxID = "5b1e8c1a-94f4-4c07-9d3f-0c2b6c9a7e11"
	endedID   = "5b1e8c1a-94f4-4c07-9d3f-0c2b6c9a7e12"
	emptyID   = "5b1e8c1a-94f4-4c07-9d3f-0c2b6c9a7e13"
)

var testTime = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)

// fakeBackend has three sandboxes and remembers what it was asked for.
type fakeBackend struct {
	mu       sync.Mutex
	calls    []string
	messages []string
	err      error // of everything, where it is set
	// creating, where it is set, runs inside of CreateMirroring.
	creating func(context.Context)
}

func (f *fakeBackend) note(format string, args ...any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, fmt.Sprintf(format, args...))
	return f.err
}

func (f *fakeBackend) called() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.calls, "\n")
}

func (f *fakeBackend) sandbox(id string) (control.Sandbox, error) {
	s := control.Sandbox{
		ID: sandboxID, Name: "tap <lab> & \"co\"", Owner: "dana", Domain: "Global", Blueprint: "Demo/Tap lab",
		Start: testTime, End: testTime.Add(2 * time.Hour), Created: testTime, Modified: testTime,
		Status: control.SandboxStarted, Provisioning: control.ProvisioningReady, PermittedUsers: []string{"noam"},
		Resources: []control.SandboxResource{
			{Name: "web-7e11", Address: "10.20.1.11", Family: "CS_GenericAppFamily", Model: "Generic App", AppName: "web", SandboxID: sandboxID,
				VM: &control.VMDetails{InstanceID: "i-0aa10000000000011", Provider: "AWS",
					Data: []control.NameValue{{Name: "instance type", Value: "t3.small"}},
					Interfaces: []control.VMNetInterface{
						{ID: "eni-0a100000000000011", SubnetID: "subnet-0c10000000000001", MAC: "02:00:00:00:01:11", Address: "10.20.1.11"},
						{ID: "eni-0a100000000000012", SubnetID: "subnet-0c10000000000002", MAC: "02:00:00:00:01:12", DeviceIndex: 1},
					}}},
			{Name: "AWS", Family: "CS_CloudProvider", Model: "AWS EC2 Cloud Provider 2G"},
		},
		Services: []control.SandboxService{{Name: "Subnet", Alias: "Subnet - 10.20.1.0/24", Attributes: []control.NameValue{{Name: "Subnet Id", Value: "subnet-0c10000000000001"}}}},
	}
	switch id {
	case sandboxID:
	case endedID:
		s = control.Sandbox{ID: endedID, Name: "old", Owner: "dana", Domain: "Global", Start: testTime.Add(-2 * time.Hour), End: testTime.Add(-time.Hour),
			ActualEnd: testTime.Add(-time.Hour), Status: control.SandboxCompleted, Provisioning: control.ProvisioningTeardown}
	case emptyID:
		s = control.Sandbox{ID: emptyID, Name: "empty", Owner: "dana", Domain: "Global", Start: testTime, End: testTime.Add(time.Hour),
			Status: control.SandboxStarted, Provisioning: control.ProvisioningNotRun}
	default:
		return control.Sandbox{}, control.SandboxErrorf(control.SandboxErrorGeneral, "Reservation with id '%s' not exists.", id)
	}
	return s, nil
}

func (f *fakeBackend) CreateSandbox(_ context.Context, u control.SandboxUser, in control.CreateSandboxInput) (control.Sandbox, error) {
	if err := f.note("create sandbox %s %+v", u.Name, in); err != nil {
		return control.Sandbox{}, err
	}
	if in.Blueprint == "" {
		return f.sandbox(emptyID)
	}
	if in.Blueprint != "Demo/Tap lab" {
		return control.Sandbox{}, control.SandboxErrorf(control.SandboxErrorNotFound, "Blueprint '%s' was not found", in.Blueprint)
	}
	return f.sandbox(sandboxID)
}

func (f *fakeBackend) Sandbox(_ context.Context, _ control.SandboxUser, id string) (control.Sandbox, error) {
	return f.sandbox(id)
}

func (f *fakeBackend) Sandboxes(_ context.Context, _ control.SandboxUser, owner string) ([]control.Sandbox, error) {
	if owner == "nobody" {
		return nil, nil
	}
	a, _ := f.sandbox(sandboxID)
	b, _ := f.sandbox(emptyID)
	return []control.Sandbox{a, b}, nil
}

// change notes a change of a sandbox.
func (f *fakeBackend) change(id, format string, args ...any) error {
	if _, err := f.sandbox(id); err != nil {
		return err
	}
	return f.note(format+" "+id, args...)
}

func (f *fakeBackend) ExtendSandbox(_ context.Context, _ control.SandboxUser, id string, by time.Duration) error {
	return f.change(id, "extend by %s", by)
}
func (f *fakeBackend) EndSandbox(_ context.Context, _ control.SandboxUser, id string) error {
	return f.change(id, "end")
}
func (f *fakeBackend) TerminateSandbox(_ context.Context, _ control.SandboxUser, id string) error {
	return f.change(id, "terminate")
}
func (f *fakeBackend) AddPermittedUsers(_ context.Context, _ control.SandboxUser, id string, users []string) error {
	return f.change(id, "permit %v", users)
}
func (f *fakeBackend) AddResources(_ context.Context, _ control.SandboxUser, id string, names []string, shared bool) error {
	return f.change(id, "add %v shared %t", names, shared)
}
func (f *fakeBackend) RemoveResources(_ context.Context, _ control.SandboxUser, id string, names []string) error {
	return f.change(id, "remove %v", names)
}

func (f *fakeBackend) Resource(_ context.Context, _ control.SandboxUser, name string) (control.SandboxResource, error) {
	s, _ := f.sandbox(sandboxID)
	for _, r := range s.Resources {
		if r.Name == name {
			return r, nil
		}
	}
	return control.SandboxResource{}, control.SandboxErrorf(control.SandboxErrorNotFound, "Resource '%s' was not found", name)
}

func (f *fakeBackend) CreateMirroring(ctx context.Context, u control.SandboxUser, id string, actions []control.CreateMirroringAction) ([]control.MirroringResult, error) {
	if f.creating != nil {
		f.creating(ctx)
	}
	if err := f.note("create mirroring %s %s %d", u.Name, id, len(actions)); err != nil {
		return nil, err
	}
	var out []control.MirroringResult
	fault := ""
	for k, a := range actions {
		for _, r := range a.Rules {
			fault = cmp.Or(fault, r.Fault)
		}
		out = append(out, control.MirroringResult{ActionID: a.ActionID, Success: true, Info: "Success", SessionID: fmt.Sprintf("tms-0d10000000000000%d", k)})
	}
	for k := range out {
		if fault != "" {
			out[k] = control.MirroringResult{ActionID: out[k].ActionID, Info: fault, Error: fault}
		}
	}
	return out, ctx.Err()
}

func (f *fakeBackend) RemoveMirroring(_ context.Context, _ control.SandboxUser, id string, actions []control.RemoveMirroringAction) ([]control.MirroringResult, error) {
	var out []control.MirroringResult
	for _, a := range actions {
		r := control.MirroringResult{ActionID: a.ActionID, Success: true, Info: "Found sessions: tms-0d1, tms-0d2."}
		if a.SessionID == "tms-none" {
			r = control.MirroringResult{ActionID: a.ActionID, Error: "Failed to remove traffic mirroring: No sessions found to remove!"}
		}
		out = append(out, r)
	}
	return out, f.note("remove mirroring %s %+v", id, actions)
}

func (f *fakeBackend) CheckoutFromPool(_ context.Context, _ control.SandboxUser, in control.PoolRequest) (string, error) {
	if err := f.note("checkout %+v", in); err != nil {
		return "", err
	}
	if in.Kind == control.PoolNextNumber {
		return "1", nil
	}
	return in.Value, nil
}

func (f *fakeBackend) ReleaseFromPool(_ context.Context, _ control.SandboxUser, in control.PoolRelease) error {
	return f.note("release %+v", in)
}

func (f *fakeBackend) SetAppSecurityGroups(_ context.Context, _ control.SandboxUser, id string, groups []control.AppSecurityGroups) ([]control.AppSecurityResult, error) {
	var out []control.AppSecurityResult
	for _, g := range groups {
		out = append(out, control.AppSecurityResult{App: g.App, Success: true})
	}
	return out, f.change(id, "groups %+v", groups)
}

func (f *fakeBackend) SandboxData(_ context.Context, _ control.SandboxUser, id string) ([]control.NameValue, error) {
	if _, err := f.sandbox(id); err != nil || id == emptyID {
		return nil, err
	}
	return []control.NameValue{{Name: "session", Value: "tms-1"}, {Name: "two\tlines", Value: "<a>\n\"b\""}}, nil
}

func (f *fakeBackend) SetSandboxData(_ context.Context, _ control.SandboxUser, id string, data []control.NameValue) error {
	return f.change(id, "data %+v", data)
}

func (f *fakeBackend) ClearSandboxData(_ context.Context, _ control.SandboxUser, id string) error {
	return f.change(id, "clear data")
}

func (f *fakeBackend) WriteMessage(_ context.Context, _ control.SandboxUser, id, message string) error {
	f.mu.Lock()
	f.messages = append(f.messages, message)
	f.mu.Unlock()
	return f.change(id, "message %q", message)
}

func (f *fakeBackend) SandboxOutput(_ context.Context, _ control.SandboxUser, id string) ([]string, error) {
	if _, err := f.sandbox(id); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.messages), nil
}

var _ Backend = (*fakeBackend)(nil)

// testDoor is a door over a fakeBackend, with users dana (admin) and noam, whose
// passwords are their names backwards.
func testDoor(t testing.TB, backend *fakeBackend) *Door {
	t.Helper()
	hash := func(password string) string {
		h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		return string(h)
	}
	d, err := New(Options{
		Backend: backend,
		Users: []User{
			{Name: "dana", PasswordHash: hash("anad"), Admin: true, Domains: []string{"Global", "Lab"}},
			{Name: "noam", PasswordHash: hash("maon")},
		},
		Domain: "Global", Provider: "AWS",
		Clock:  func() time.Time { return testTime },
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// token logs dana on without the door's front.
func (d *Door) testToken() string {
	return d.tokens.issue(control.SandboxUser{Name: "dana", Domain: "Global", Admin: true}, d.Clock())
}

// post sends a request body to the Automation API and returns the answer.
func post(t testing.TB, d *Door, token, operation, body string) (int, string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, automationPath+operation, strings.NewReader(body))
	r.Header.Set("Content-Type", "text/xml")
	r.Header.Set("Authorization", "MachineName=ws7:8029;Token="+token)
	w := httptest.NewRecorder()
	d.AutomationHandler().ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

var errInside = fmt.Errorf("write record: %w", fmt.Errorf("disk of /secret is full"))
