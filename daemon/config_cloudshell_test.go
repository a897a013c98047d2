package daemon

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const passwordHash = "$2a$10$p8oIrzx8tiDAwG2C3W35KOBxAsvaC0BJ5hq4KxToF/.N8R4tERkLi"

func TestCloudShellIsConfigured(t *testing.T) {
	got, err := ParseConfig([]byte(`
cloudshell:
  listen: 127.0.0.1:8029
  webapi_listen: 127.0.0.1:9000
  tls: {certificate: /c, key: /k}
  domain: Lab
  provider: Cloud
  users:
    - {name: admin, password_hash: "` + passwordHash + `", admin: true}
    - {name: noam, password_hash: "` + passwordHash + `", domains: [Global, Lab]}
  blueprints:
    - name: Demo/Tap lab
      apps:
        - {name: web, instance: web-1, inbound_ports: "80;443"}
        - {name: sensor, instance: i-0123456789abcdef0, allow_all_sandbox_traffic: false, shared: true}
`))
	if err != nil {
		t.Fatal(err)
	}
	no := false
	want := &CloudShellConfig{
		Listen: "127.0.0.1:8029", WebAPI: "127.0.0.1:9000", TLS: &TLSConfig{"/c", "/k"}, Domain: "Lab", Provider: "Cloud",
		Users: []CloudShellUser{
			{Name: "admin", PasswordHash: passwordHash, Admin: true},
			{Name: "noam", PasswordHash: passwordHash, Domains: []string{"Global", "Lab"}},
		},
		Blueprints: []CloudShellBlueprint{{Name: "Demo/Tap lab", Apps: []CloudShellApp{
			{Name: "web", Instance: "web-1", InboundPorts: "80;443"},
			{Name: "sensor", Instance: "i-0123456789abcdef0", AllowAllSandboxTraffic: &no, Shared: true},
		}}},
	}
	if diff := cmp.Diff(want, got.CloudShell); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
}

func TestCloudShellErrorsNameKeyAndLine(t *testing.T) {
	user := func(name, hash string) string {
		return "cloudshell:\n  listen: 127.0.0.1:8029\n  users:\n    - {name: " + name + ", password_hash: '" + hash + "'}\n"
	}
	apps := func(text string) string {
		return "cloudshell:\n  listen: 127.0.0.1:8029\n  blueprints:\n    - name: b\n      apps: " + text + "\n"
	}
	for text, want := range map[string]string{
		"cloudshell: {}":                                                                           `cloudshell.listen: "" is not of the form host:port`,
		"cloudshell: {listen: '127.0.0.1:7770'}":                                                   "cloudshell.listen: 127.0.0.1:7770 is taken by api.listen",
		"cloudshell: {listen: ':8029', webapi_listen: ':8029'}":                                    "cloudshell.webapi_listen: :8029 is taken by cloudshell.listen",
		"cloudshell: {listen: ':8029', tls: {certificate: c, key: /k}}":                            `cloudshell.tls.certificate: "c" is not an absolute path`,
		"cloudshell: {listen: ':8029', domain: ' x'}":                                              `cloudshell.domain: " x" is not a name`,
		user("admin", "admin"):                                                                     "line 4: cloudshell.users[0].password_hash: not a bcrypt hash; sluice password makes one",
		user("admin", strings.Replace(passwordHash, "$10$", "$04$", 1)):                            "a hash of cost 4, want 10 to 14",
		user("''", passwordHash):                                                                   `cloudshell.users[0].name: "" is not a name`,
		user("admin", passwordHash) + strings.SplitAfterN(user("ADMIN", passwordHash), "\n", 4)[3]: `cloudshell.users[1].name: "ADMIN" is the name of number 0 already`,
		apps("[]"):          "cloudshell.blueprints[0].apps: 0 is not between 1 and 256",
		apps("[{name: a}]"): `cloudshell.blueprints[0].apps[0].instance: "" is not a name`,
		apps("[{name: a, instance: x}, {name: A, instance: y}]"): `cloudshell.blueprints[0].apps[1].name: "A" is the name of number 0 already`,
	} {
		if _, err := ParseConfig([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\ngot  %v\nwant %s", text, err, want)
		}
	}
}
