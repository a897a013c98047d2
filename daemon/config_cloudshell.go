package daemon

import (
	"fmt"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// CloudShellConfig is the CloudShell front door.
type CloudShellConfig struct {
	Listen string     `yaml:"listen"` // host:port of the Automation API; CloudShell's port is 8029
	TLS    *TLSConfig `yaml:"tls"`    // nil: plain HTTP
	// WebAPI is host:port of the REST variant of the same API, for clients that set
	// use_webapi_endpoint; CloudShell's port is 9000. "": off.
	WebAPI string `yaml:"webapi_listen"`
	// Domain is the one that a log-on without a domain means. "": Global.
	Domain string `yaml:"domain"`
	// Provider is the name of the cloud provider resource. "": AWS.
	Provider   string                `yaml:"provider"`
	Users      []CloudShellUser      `yaml:"users"`
	Blueprints []CloudShellBlueprint `yaml:"blueprints"`
}

// CloudShellUser is who may log on.
type CloudShellUser struct {
	Name         string   `yaml:"name"`
	PasswordHash string   `yaml:"password_hash"` // bcrypt, "$2b$10$..." of cost 10 to 14
	Admin        bool     `yaml:"admin"`         // may act on every sandbox
	Domains      []string `yaml:"domains"`       // nil: the default domain alone
}

// CloudShellBlueprint is what a sandbox can be made from.
type CloudShellBlueprint struct {
	Name string          `yaml:"name"` // the full path that scripts name
	Apps []CloudShellApp `yaml:"apps"`
}

// CloudShellApp is an instance of the inventory under the name of an App.
type CloudShellApp struct {
	Name     string `yaml:"name"`
	Instance string `yaml:"instance"` // name or id of the instance
	// InboundPorts is CloudShell's attribute Inbound Ports, such as
	// "80;443:tcp:10.0.0.0/24;200-220:udp".
	InboundPorts string `yaml:"inbound_ports"`
	// AllowAllSandboxTraffic lets members of the sandbox reach the App. nil: true.
	AllowAllSandboxTraffic *bool `yaml:"allow_all_sandbox_traffic"`
	// Shared lets several sandboxes have the instance at once, where all of them share it.
	Shared bool `yaml:"shared"`
}

// What CloudShell has when nothing is configured.
const (
	DefaultCloudShellDomain   = "Global"
	DefaultCloudShellProvider = "AWS"
)

// The costs of password hashes: below the first, guessing is cheap; beyond the second,
// every log-on takes a processor for seconds.
const (
	minPasswordCost = 10
	maxPasswordCost = 14
)

// The bounds of names, in bytes, and of lists. They keep a sandbox within one record of
// the store.
const (
	maxCloudShellName  = 100
	maxCloudShellUsers = 1000
	maxBlueprints      = 1000
	maxBlueprintApps   = 256
)

// maxSandboxes bounds the quota of sandboxes: the store has room for as many, each as
// full as it can be, and for as many that have ended.
const maxSandboxes = 500

func (c *CloudShellConfig) validate(d *configDecoder, taken map[string]string) {
	requireListen(d, "cloudshell.listen", c.Listen)
	requireApart(d, taken, "cloudshell.listen", c.Listen)
	if t := c.TLS; t != nil {
		requirePath(d, "cloudshell.tls.certificate", t.Certificate)
		requirePath(d, "cloudshell.tls.key", t.Key)
	}
	if c.WebAPI != "" {
		requireListen(d, "cloudshell.webapi_listen", c.WebAPI)
		requireApart(d, taken, "cloudshell.webapi_listen", c.WebAPI)
	}
	for key, name := range map[string]string{"domain": c.Domain, "provider": c.Provider} {
		if name != "" {
			requireCloudShellName(d, "cloudshell."+key, name)
		}
	}
	requireRange(d, "cloudshell.users", int64(len(c.Users)), 0, maxCloudShellUsers)
	c.validateUsers(d)
	requireRange(d, "cloudshell.blueprints", int64(len(c.Blueprints)), 0, maxBlueprints)
	c.validateBlueprints(d)
}

func (c *CloudShellConfig) validateUsers(d *configDecoder) {
	users := map[string]int{}
	for i, u := range c.Users {
		path := fmt.Sprintf("cloudshell.users[%d]", i)
		requireCloudShellName(d, path+".name", u.Name)
		requireOnce(d, users, path+".name", u.Name, i)
		cost, err := bcrypt.Cost([]byte(u.PasswordHash))
		switch {
		case err != nil:
			d.problem(path+".password_hash", "not a bcrypt hash; sluice password makes one")
		case cost < minPasswordCost || cost > maxPasswordCost:
			d.problem(path+".password_hash", "a hash of cost %d, want %d to %d; sluice password makes one", cost, minPasswordCost, maxPasswordCost)
		}
		for k, domain := range u.Domains {
			requireCloudShellName(d, fmt.Sprintf("%s.domains[%d]", path, k), domain)
		}
	}
}

// validateBlueprints checks the form alone. Whether the instances exist is seen when a
// sandbox is made: hosts come and go.
func (c *CloudShellConfig) validateBlueprints(d *configDecoder) {
	blueprints := map[string]int{}
	for i, b := range c.Blueprints {
		path := fmt.Sprintf("cloudshell.blueprints[%d]", i)
		requireCloudShellName(d, path+".name", b.Name)
		requireOnce(d, blueprints, path+".name", b.Name, i)
		requireRange(d, path+".apps", int64(len(b.Apps)), 1, maxBlueprintApps)
		apps := map[string]int{}
		for k, a := range b.Apps {
			at := fmt.Sprintf("%s.apps[%d]", path, k)
			requireCloudShellName(d, at+".name", a.Name)
			requireOnce(d, apps, at+".name", a.Name, k)
			requireCloudShellName(d, at+".instance", a.Instance)
		}
	}
}

func requireCloudShellName(d *configDecoder, key, name string) {
	if name == "" || len(name) > maxCloudShellName || strings.TrimSpace(name) != name || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' }) {
		d.problem(key, "%q is not a name of 1 to %d bytes", name, maxCloudShellName)
	}
}

// requireOnce refuses a name twice in one list; CloudShell's names ignore case.
func requireOnce(d *configDecoder, seen map[string]int, key, name string, index int) {
	folded := strings.ToLower(name)
	if other, again := seen[folded]; again {
		d.problem(key, "%q is the name of number %d already", name, other)
	}
	seen[folded] = index
}
