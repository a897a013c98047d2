package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/template"

	"sluice/internal/testnet"
)

// labConfig is what the configuration of a lab's server is written from.
type labConfig struct {
	Dir     string // holds sluice.yaml and the state
	Network testnet.LabNetwork
	API     string // host:port
	Admin   string // host:port
	Owner   string // path of the owner's record; "" where the names follow from Dir
	// CloudShell is host:port of CloudShell's front door; "" leaves it out.
	CloudShell string
	// WebAPI is host:port of that door's REST variant and Sandbox API; "" leaves it out.
	WebAPI string
}

// labDevice is one interface of the configuration.
type labDevice struct{ Netns, Device string }

// StateDir is where the lab's server keeps its state.
func (c labConfig) StateDir() string { return filepath.Join(c.Dir, "state") }

// ConfigFile is the path of the lab's sluice.yaml.
func (c labConfig) ConfigFile() string { return filepath.Join(c.Dir, "sluice.yaml") }

// Devices are all devices of the lab: those of the hosts, then the gateway's.
func (c labConfig) Devices() []labDevice {
	var hosts, gateway []labDevice
	for _, h := range c.Network.Hosts() {
		hosts = append(hosts, labDevice{h.Netns, h.Device})
		gateway = append(gateway, labDevice{c.Network.Gateway, h.Link})
	}
	return append(hosts, gateway...)
}

// labApp is one App of the lab's blueprint.
type labApp struct{ Name, Netns string }

// Apps are the three hosts of the lab.
func (c labConfig) Apps() []labApp {
	return []labApp{{"client", c.Network.Client}, {"server", c.Network.Server}, {"sensor", c.Network.Sensor}}
}

// labPassword is what CloudShell's examples log on with. The lab's door is open on
// loopback alone.
const labPassword = "admin"

// PasswordHash is the hash of the only user's password.
func (c labConfig) PasswordHash() (string, error) { return hashPassword(labPassword) }

const labConfigText = `# The server of a lab. Start it with: sluice serve --config {{.ConfigFile}}
region: eu-west-1
account_id: "000000000000"
state_dir: {{quote .StateDir}}
api: {listen: {{quote .API}}}
admin: {listen: {{quote .Admin}}}
{{- if .CloudShell}}
cloudshell: # log on as admin with the password admin, in the domain Global
  listen: {{quote .CloudShell}}
{{- if .WebAPI}}
  webapi_listen: {{quote .WebAPI}}
{{- end}}
  users:
    - {name: admin, password_hash: {{quote .PasswordHash}}, admin: true}
  blueprints:
    - name: Lab
      apps: # shared: several sandboxes may have them at once
{{- range .Apps}}
        - {name: {{quote .Name}}, instance: {{quote .Netns}}, shared: true}
{{- end}}
{{- end}}
flow_table: {max_flows: 65536}
interfaces: # one instance for each namespace; the gateway forwards, so it carries firewalls
{{- range .Devices}}
  - {netns: {{quote .Netns}}, device: {{quote .Device}}}
{{- end}}
`

// write writes the configuration as YAML.
func (c labConfig) write(w io.Writer) error {
	t, err := template.New("sluice.yaml").Funcs(template.FuncMap{"quote": quoteYAML}).Parse(labConfigText)
	if err != nil {
		return fmt.Errorf("parse template of sluice.yaml: %w", err)
	}
	return t.Execute(w, c)
}

// quoteYAML writes a string as a single-quoted scalar (YAML 1.2 §7.3.2).
func quoteYAML(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
