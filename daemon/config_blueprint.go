package daemon

import (
	"fmt"
	"regexp"
)

// BlueprintConfig is what a sandbox can be made from.
type BlueprintConfig struct {
	// Path is the full path that scripts name, "Lab" or "Folder/Lab".
	Path string               `yaml:"path"`
	Apps []BlueprintAppConfig `yaml:"apps"`
}

// BlueprintAppConfig is an instance under the name of an App.
type BlueprintAppConfig struct {
	Name     string `yaml:"name"`
	Instance string `yaml:"instance"` // name or id of an instance of the inventory
	// InboundPorts is the attribute Inbound Ports, "22;4789:udp:10.0.0.0/24".
	InboundPorts string `yaml:"inbound_ports"`
	// AllowAllSandboxTraffic lets every member of the sandbox talk to this one; nil is
	// true, as in CloudShell.
	AllowAllSandboxTraffic *bool `yaml:"allow_all_sandbox_traffic"`
	// Shared lets several sandboxes have the instance at once, where all of them share it.
	Shared bool `yaml:"shared"`
}

// The bounds of blueprints. They keep a sandbox within one record of the store.
const (
	maxBlueprints    = 1000
	maxBlueprintApps = 256
)

var (
	blueprintPathPattern = regexp.MustCompile(`^[^/\x00-\x1f\x7f]{1,128}(/[^/\x00-\x1f\x7f]{1,128}){0,7}$`)
	appNamePattern       = regexp.MustCompile(`^[^/\x00-\x1f\x7f]{1,100}$`)
)

// validateBlueprints checks cloudshell.blueprints. Whether the instances exist is
// seen when a sandbox is made: hosts come and go.
func (c *CloudShellConfig) validateBlueprints(d *configDecoder) {
	if len(c.Blueprints) > maxBlueprints {
		d.problem("cloudshell.blueprints", "%d blueprints, want at most %d", len(c.Blueprints), maxBlueprints)
	}
	paths := map[string]int{}
	for i, b := range c.Blueprints {
		at := fmt.Sprintf("cloudshell.blueprints[%d]", i)
		if !blueprintPathPattern.MatchString(b.Path) {
			d.problem(at+".path", "%q is not a path such as Lab or Folder/Lab", b.Path)
		}
		if j, again := paths[b.Path]; again {
			d.problem(at+".path", "the same path as cloudshell.blueprints[%d]", j)
		}
		paths[b.Path] = i
		if len(b.Apps) == 0 || len(b.Apps) > maxBlueprintApps {
			d.problem(at+".apps", "%d apps, want 1 to %d", len(b.Apps), maxBlueprintApps)
		}
		names, instances := map[string]int{}, map[string]int{}
		for k, a := range b.Apps {
			app := fmt.Sprintf("%s.apps[%d]", at, k)
			if !appNamePattern.MatchString(a.Name) {
				d.problem(app+".name", "%q is not 1 to 100 characters without a slash", a.Name)
			}
			if j, again := names[a.Name]; again {
				d.problem(app+".name", "the same name as apps[%d]", j)
			}
			names[a.Name] = k
			if a.Instance == "" {
				d.problem(app+".instance", "is missing: the name or the id of an instance")
			}
			if j, again := instances[a.Instance]; again && a.Instance != "" {
				d.problem(app+".instance", "the same instance as apps[%d]", j)
			}
			instances[a.Instance] = k
		}
	}
}
