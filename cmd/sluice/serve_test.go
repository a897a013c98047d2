package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"sluice/daemon"
	"sluice/internal/testnet"
)

// testLab builds a lab of its own, with a configuration in a temporary directory.
func testLab(t *testing.T) labConfig {
	t.Helper()
	requireRoot(t)
	ports, err := freeAddresses(4)
	if err != nil {
		t.Fatal(err)
	}
	config := labConfig{Dir: filepath.Join(t.TempDir(), "lab"), API: ports[0], Admin: ports[1], CloudShell: ports[2], WebAPI: ports[3],
		Network: testnet.Lab("cmd-" + strconv.Itoa(os.Getpid()) + "-")}
	t.Cleanup(func() {
		if err := removeLab(config); err != nil {
			t.Error(err)
		}
	})
	if err := createLab(config); err != nil {
		t.Fatal(err)
	}
	return config
}

// testServer is sluice serve as a process.
type testServer struct {
	*testnet.Process
	ready  string // the line that says so
	stderr syncBuffer
}

func startTestServer(t *testing.T, config labConfig) *testServer {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := &testServer{}
	cmd := exec.Command(self, "serve", "--config", config.ConfigFile())
	cmd.Env = append(os.Environ(), asBinary+"=1")
	cmd.Stderr = &s.stderr
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout = in
	s.Process, err = testnet.Start("", cmd)
	if err := errors.Join(err, in.Close()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	if s.ready, err = readyLine(t.Context(), out); err != nil {
		s.Kill()
		t.Fatalf("%v\n%s", err, s.stderr.String())
	}
	return s
}

// stop asks the server to stop and returns its exit code.
func (s *testServer) stop(t *testing.T) int {
	t.Helper()
	if err := s.Cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.Done():
	case <-time.After(serverStop):
		t.Fatal("the server did not stop")
	}
	return s.Cmd.ProcessState.ExitCode()
}

func httpGet(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, b.String()
}

// metric reads the value of one series.
func metric(t *testing.T, text, series string) float64 {
	t.Helper()
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Errorf("metrics lack %s", series)
	return 0
}

func TestAServerFromItsStartToItsEnd(t *testing.T) {
	config := testLab(t)
	server := startTestServer(t, config)
	if want := "ready: API http://" + config.API + ", admin http://" + config.Admin + ", CloudShell http://" + config.CloudShell; server.ready != want {
		t.Errorf("ready line %q, want %q", server.ready, want)
	}
	if code, body := httpGet(t, "http://"+config.Admin+"/readyz"); code != http.StatusOK {
		t.Errorf("/readyz: %d %s", code, body)
	}
	code, stdout, stderr := runCommand("firewall", "create", "fw", "--subnet", "client", "--config", config.ConfigFile())
	if code != exitOK || !strings.Contains(stdout, "READY") {
		t.Fatalf("firewall create: code %d, stdout %q, stderr %q\n%s", code, stdout, stderr, server.stderr.String())
	}
	hosts := config.Network.Hosts()
	ctx, cancel := context.WithTimeout(t.Context(), talkTimeout)
	defer cancel()
	if err := testnet.Ping(ctx, hosts[0].Netns, hosts[1].IPv4, 3, 56); err != nil {
		t.Fatal(err)
	}
	if code, stdout, stderr = runCommand("flow", "capture", "--protocol", "icmp", "--config", config.ConfigFile()); code != exitOK || !strings.Contains(stdout, "icmp      10.77.1.2  10.77.2.2") {
		t.Errorf("flow capture: code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	for args, want := range map[string]string{
		"flow capture --firewall nope":                      "there is no firewall nope; there are: fw",
		"flow capture --firewall no_such.name":              "there is no firewall no_such.name; there are: fw",
		"firewall show " + testARN + "x":                    "there is no firewall " + testARN + "x; there are: fw",
		"firewall delete nope":                              "there is no firewall nope; there are: fw",
		"flow show " + testOperation:                        "firewall fw has no operation " + testOperation,
		"flow show " + testOperation + " --zone eu-west-1z": "firewall fw in eu-west-1z has no operation",
	} {
		if code, _, stderr := runCommand(append(strings.Fields(args), "--config", config.ConfigFile())...); code != exitFailed || !strings.HasPrefix(stderr, "sluice: "+want) {
			t.Errorf("%s: code %d, stderr %q, want %q", args, code, stderr, want)
		}
	}
	_, metrics := httpGet(t, "http://"+config.Admin+"/metrics")
	for _, want := range []string{
		`protocol="icmp",state="established"} 1`,
		`sluice_api_requests_total{code="OK",operation="StartFlowCapture",service="network-firewall"} 1`,
		`sluice_api_requests_total{code="OK",operation="DescribeSubnets",service="ec2"} 1`,
		`sluice_flow_operation_flows_total{type="FLOW_CAPTURE"} 1`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	// The six packets of the pings, and now and then a multicast listener report.
	labels := `{availability_zone="eu-west-1a",engine="Stateful",firewall="fw"}`
	passed, received := metric(t, metrics, "sluice_passed_packets_total"+labels), metric(t, metrics, "sluice_received_packets_total"+labels)
	if bytes := metric(t, metrics, "sluice_passed_bytes_total"+labels); passed < 6 || passed > 12 || passed != received || bytes < 6*84 {
		t.Errorf("the firewall passed %v of %v packets with %v bytes, want the six of the pings with 84 each", passed, received, bytes)
	}
	if code, _, stderr := runCommand("detach", "--config", config.ConfigFile()); code != exitFailed || !strings.Contains(stderr, strconv.Itoa(server.Cmd.Process.Pid)) {
		t.Errorf("detach while the server runs: code %d, stderr %q", code, stderr)
	}
	if code := server.stop(t); code != exitOK {
		t.Errorf("exit code %d\n%s", code, server.stderr.String())
	}
	pins := pinDir(daemon.DefaultBPFFS, config.StateDir())
	if _, err := os.Stat(pins); err != nil {
		t.Errorf("the pins did not outlive the server: %v", err)
	}
	if code, _, stderr := runCommand("detach", "--config", config.ConfigFile()); code != exitOK {
		t.Errorf("detach: code %d, stderr %q", code, stderr)
	}
	if _, err := os.Stat(pins); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after detach: %v", err)
	}
}

func TestTwoServersDoNotShareAState(t *testing.T) {
	config := testLab(t)
	server := startTestServer(t, config)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	second := exec.Command(self, "serve", "--config", config.ConfigFile())
	second.Env = append(os.Environ(), asBinary+"=1")
	out, err := second.CombinedOutput()
	want := fmt.Sprintf("another server runs on %s, process %d", config.StateDir(), server.Cmd.Process.Pid)
	if second.ProcessState.ExitCode() != exitFailed || !strings.Contains(string(out), want) {
		t.Errorf("second server: %v\n%s", err, out)
	}
	pid, err := stopLabServer(t.Context(), config)
	if err != nil || pid != server.Cmd.Process.Pid {
		t.Errorf("stopped process %d (%v), want %d", pid, err, server.Cmd.Process.Pid)
	}
	select {
	case <-server.Done():
	case <-time.After(serverStop):
		t.Error("the server that was to be stopped runs")
	}
}

func TestTheAPIOverTLS(t *testing.T) {
	config := testLab(t)
	certificate, key := writeCertificate(t)
	text, err := os.ReadFile(config.ConfigFile())
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte("api: {listen: '"+config.API+"'}"),
		[]byte("api: {listen: '"+config.API+"', tls: {certificate: "+certificate+", key: "+key+"}}"), 1)
	if err := os.WriteFile(config.ConfigFile(), text, 0o600); err != nil {
		t.Fatal(err)
	}
	server := startTestServer(t, config)
	if !strings.Contains(server.ready, "https://"+config.API) {
		t.Errorf("ready line %q", server.ready)
	}
	if code, _, stderr := runCommand("firewall", "list", "--config", config.ConfigFile()); code != exitFailed || !strings.Contains(stderr, "certificate") {
		t.Errorf("with a certificate that nobody trusts: code %d, stderr %q", code, stderr)
	}
	_, exports, _ := runCommand("env", "--config", config.ConfigFile())
	bundle, err := exec.Command("sh", "-c", exports+"printf %s \"$"+caBundleVariable+"\"").Output()
	if err != nil || string(bundle) != certificate {
		t.Errorf("sluice env names the bundle %q (%v), want %q", bundle, err, certificate)
	}
	var stderr bytes.Buffer
	s := &shell{stdout: &bytes.Buffer{}, stderr: &stderr, getenv: func(name string) string {
		return map[string]string{caBundleVariable: string(bundle)}[name]
	}}
	if code := run(t.Context(), s, []string{"firewall", "create", "fw", "--subnet", "client", "--no-wait", "--config", config.ConfigFile()}); code != exitOK {
		t.Errorf("with %s: code %d, stderr %q", caBundleVariable, code, stderr.String())
	}
}

// writeCertificate makes a certificate of 127.0.0.1 that signs itself.
func writeCertificate(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
}

func TestCheckNamesWhatIsWrongAndChangesNothing(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct{ text, want string }{
		{"interfcaes: []\n", "interfcaes: unknown key"},
		{"interfaces: [{device: nope0}]\n", "device nope0 does not exist"},
		{"interfaces: [{device: eth0, netns: nope}]\n", "nope does not exist"},
		{"flow_table: {max_flows: 100}\n", "max_flows: 100"},
		{"api: {tls: {certificate: /none.pem, key: /none.key}}\n", "/none.pem"},
		{"cloudshell: {listen: ':0', tls: {certificate: /none.pem, key: /none.key}}\n", "/none.pem"},
		{"cloudshell: {listen: ':0', blueprints: [{name: b, apps: [{name: a, instance: i, inbound_ports: http}]}]}\n", "inbound_ports: The value 'http' is not a valid ports rule"},
	} {
		file := filepath.Join(dir, "sluice.yaml")
		if err := os.WriteFile(file, []byte("state_dir: "+dir+"/state\n"+c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		code, stdout, stderr := runCommand("serve", "--check", "--config", file)
		if code != exitFailed || stdout != "" || !strings.Contains(stderr, c.want) || !strings.Contains(stderr, file) {
			t.Errorf("%q: code %d, stdout %q, stderr %q, want %q", c.text, code, stdout, stderr, c.want)
		}
	}
	file := filepath.Join(dir, "sluice.yaml")
	if err := os.WriteFile(file, []byte("state_dir: "+dir+"/state\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, stdout, stderr := runCommand("serve", "--check", "--config", file); code != exitOK || !strings.HasPrefix(stdout, file+" is valid: ") {
		t.Errorf("code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	if _, err := os.Stat(filepath.Join(dir, "state")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("--check made the state directory (%v)", err)
	}
}
