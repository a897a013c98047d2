package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// Config is the configuration file. The tags are its keys.
type Config struct {
	Region    string `yaml:"region"`
	AccountID string `yaml:"account_id"` // twelve digits
	StateDir  string `yaml:"state_dir"`  // absolute path
	BPFFS     string `yaml:"bpffs"`      // where a bpf file system is mounted

	API        APIConfig         `yaml:"api"`
	Admin      AdminConfig       `yaml:"admin"`
	CloudShell *CloudShellConfig `yaml:"cloudshell"` // nil: off

	FlowTable  FlowTableConfig   `yaml:"flow_table"`
	Operations OperationsConfig  `yaml:"operations"`
	Limits     LimitsConfig      `yaml:"limits"`
	Interfaces []InterfaceConfig `yaml:"interfaces"` // nil: discover all

	// TargetGroups are groups of receivers of mirrored traffic, which the API shows as
	// network load balancers.
	TargetGroups []TargetGroupConfig `yaml:"target_groups"`
	// Resolvers are the addresses whose DNS the network service amazon-dns means. nil:
	// those of AWS.
	Resolvers []string        `yaml:"resolvers"`
	Mirroring MirroringConfig `yaml:"mirroring"`
}

// APIConfig is the AWS front door.
type APIConfig struct {
	Listen string     `yaml:"listen"` // host:port
	TLS    *TLSConfig `yaml:"tls"`    // nil: plain HTTP
}

// TLSConfig names the files of a certificate, both in PEM.
type TLSConfig struct {
	Certificate string `yaml:"certificate"` // chain, the server's first
	Key         string `yaml:"key"`
}

// AdminConfig is the endpoint of metrics, health and console.
type AdminConfig struct {
	Listen string `yaml:"listen"` // host:port
}

// FlowTableConfig sizes the flow table of this host.
type FlowTableConfig struct {
	MaxFlows int `yaml:"max_flows"` // entries, 1,024 to 67,108,864
}

// OperationsConfig bounds flow operations.
type OperationsConfig struct {
	Deadline time.Duration `yaml:"deadline"` // for an endpoint to report, 1s to 1h
	MaxRows  int64         `yaml:"max_rows"` // in the results of one operation
}

// LimitsConfig are limits of the API. 0 is the controller's default.
type LimitsConfig struct {
	MaxBodyBytes     int64 `yaml:"max_body_bytes"` // of one request
	Firewalls        int   `yaml:"firewalls"`
	FirewallPolicies int   `yaml:"firewall_policies"`

	MirrorFilters           int `yaml:"mirror_filters"`
	MirrorTargets           int `yaml:"mirror_targets"`
	MirrorSessions          int `yaml:"mirror_sessions"`
	MirrorRulesPerFilter    int `yaml:"mirror_rules_per_filter"`    // up to 64
	MirrorSessionsPerSource int `yaml:"mirror_sessions_per_source"` // up to 3
	MirrorSourcesPerTarget  int `yaml:"mirror_sources_per_target"`
	SecurityGroups          int `yaml:"security_groups"`
	SecurityGroupRules      int `yaml:"security_group_rules"` // of one direction of a group

	Sandboxes         int `yaml:"sandboxes"`           // that have not ended, up to 500
	SandboxesPerOwner int `yaml:"sandboxes_per_owner"` // that users make who are no admins
}

// MirroringConfig bounds what mirroring may take of each processor's time, in percent of
// it, 1 to 100. What would take more is not copied, unless the processor would be idle. 100
// is no bound.
type MirroringConfig struct {
	CPUPercent          int `yaml:"cpu_percent"`
	TruncatedCPUPercent int `yaml:"truncated_cpu_percent"` // copies that no path carries whole
}

// TargetGroupConfig is a group of receivers over which flows are spread.
type TargetGroupConfig struct {
	Name    string   `yaml:"name"`
	Arn     string   `yaml:"arn"`     // "": derived from the name
	Members []string `yaml:"members"` // interface ids and IP addresses
}

// InterfaceConfig declares one device; what is empty is derived.
type InterfaceConfig struct {
	Device           string `yaml:"device"`
	Netns            string `yaml:"netns"` // "" is the host's own
	AvailabilityZone string `yaml:"availability_zone"`
	SubnetID         string `yaml:"subnet_id"`
	InstanceID       string `yaml:"instance_id"`
	Firewall         *bool  `yaml:"firewall"` // nil: where the namespace forwards packets
}

// The configuration of a server without a file.
const (
	DefaultRegion    = "eu-west-1"
	DefaultAccountID = "000000000000"
	DefaultStateDir  = "/var/lib/sluice"
	DefaultBPFFS     = "/sys/fs/bpf"
	DefaultListen    = "127.0.0.1:7770"
	DefaultAdmin     = "127.0.0.1:7771"

	DefaultMaxFlows = 1 << 20
	DefaultDeadline = time.Minute
	DefaultMaxRows  = 2_000_000
	DefaultMaxBody  = 8 << 20

	// Copies that were asked for may take what they need. Those that the path to the target
	// has no room for take several times as much, which nobody asked for.
	DefaultCPUPercent          = 100
	DefaultTruncatedCPUPercent = 5
)

// DefaultConfig returns the configuration of a server without a file.
func DefaultConfig() Config {
	return Config{
		Region:     DefaultRegion,
		AccountID:  DefaultAccountID,
		StateDir:   DefaultStateDir,
		BPFFS:      DefaultBPFFS,
		API:        APIConfig{Listen: DefaultListen},
		Admin:      AdminConfig{Listen: DefaultAdmin},
		FlowTable:  FlowTableConfig{MaxFlows: DefaultMaxFlows},
		Operations: OperationsConfig{Deadline: DefaultDeadline, MaxRows: DefaultMaxRows},
		Limits:     LimitsConfig{MaxBodyBytes: DefaultMaxBody},
		Mirroring:  MirroringConfig{CPUPercent: DefaultCPUPercent, TruncatedCPUPercent: DefaultTruncatedCPUPercent},
	}
}

// maxConfigBytes bounds the file; ten thousand interfaces fit well.
const maxConfigBytes = 4 << 20

// LoadConfig reads a configuration file. Keys that are left out keep their
// defaults. The error names every key that is wrong, with its line.
func LoadConfig(path string) (Config, error) {
	info, err := os.Stat(path)
	if err != nil {
		var perr *fs.PathError
		if errors.As(err, &perr) {
			err = perr.Err
		}
		return Config{}, fmt.Errorf("read config %s: %w", path, err)
	}
	if info.Size() > maxConfigBytes {
		return Config{}, fmt.Errorf("read config %s: larger than %d bytes", path, maxConfigBytes)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("read config: %w", err)
	}
	c, err := ParseConfig(text)
	if err != nil {
		return Config{}, fmt.Errorf("read config %s: %w", path, err)
	}
	return c, nil
}
