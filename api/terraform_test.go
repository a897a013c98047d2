package api

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestTerraformItself has the AWS provider build mirroring, find that nothing is left
// to do, change all that can be changed, and destroy it. It needs the provider, which
// is too large to fetch for a test: TF_CLI_ARGS_init=-plugin-dir=DIR says where it is.
// The provider's calls are tested without it in TestTerraformsSequences.
func TestTerraformItself(t *testing.T) {
	if os.Getenv("TF_CLI_ARGS_init") == "" {
		t.Skip("TF_CLI_ARGS_init does not say where the AWS provider is")
	}
	_, url := serveReal(t)
	dir := t.TempDir()
	text, err := os.ReadFile("testdata/terraform/mirror.tf")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/main.tf", text, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{
		"init", "apply -auto-approve", "plan -detailed-exitcode",
		"apply -auto-approve -var step=2", "plan -detailed-exitcode -var step=2", "destroy -auto-approve -var step=2",
	} {
		cmd := exec.Command("terraform", strings.Fields(args)...)
		cmd.Dir = dir
		cmd.Env = append(clientEnvironment(t, url), "TF_IN_AUTOMATION=1", "TF_CLI_ARGS_init="+os.Getenv("TF_CLI_ARGS_init"))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("terraform %s: %v\n%s", args, err, out)
		}
	}
}
