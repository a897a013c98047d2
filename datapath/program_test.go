package datapath

import (
	"os"
	"regexp"
	"strconv"
	"testing"

	"github.com/cilium/ebpf"
)

// The kernel folds the constants of a program into its proof, so that one size of table
// may be loadable and another not.
func TestProgramsLoadForEveryTableSize(t *testing.T) {
	needRoot(t)
	for _, maxFlows := range []uint64{MaxFlowsMin, 5000, 1 << 16, 1 << 18, MaxFlowsDefault, 3000000, MaxFlowsMax} {
		tab := &table{layout: newLayout(maxFlows)}
		spec, err := loadFirewall()
		if err != nil {
			t.Fatal(err)
		}
		spec.Variables[firewallVarBucketCount].Set(tab.layout.Buckets)
		spec.Variables[firewallVarMaxFlows].Set(maxFlows)
		spec.Variables[firewallVarResetMark].Set(uint32(1))
		for _, header := range []uint32{0, 14} {
			for _, ingress := range []uint8{0, 1} {
				spec.Variables[firewallVarLinkHeader].Set(header)
				spec.Variables[firewallVarAtIngress].Set(ingress)
				c, err := ebpf.NewCollectionWithOptions(spec.Copy(), ebpf.CollectionOptions{
					Programs: ebpf.ProgramOptions{LogLevel: ebpf.LogLevelStats},
				})
				if err != nil {
					t.Fatalf("max_flows %d, header %d, ingress %d: %v", maxFlows, header, ingress, err)
				}
				for name, p := range c.Programs {
					t.Logf("max_flows %d, header %d, ingress %d: %s: %s", maxFlows, header, ingress, name, p.VerifierLog)
				}
				c.Close()
			}
		}
	}
}

func TestConstantsAreThoseOfTheProgram(t *testing.T) {
	want := map[string]int{
		"FLOWS_PER_BUCKET": flowsPerBucket, "BUCKET_FAVOURED": bucketFavoured, "TAG_FREE": tagFree, "TAG_BUSY": tagBusy, "TAG_FIRST": tagFirst,
		"FAMILY_IPV4": familyIPv4, "FAMILY_IPV6": familyIPv6,
		"STATUS_SYN0": statusSYN0, "STATUS_SYN1": statusSYN1, "STATUS_ACKED0": statusAcked0,
		"STATUS_ACKED1": statusAcked1, "STATUS_FIN0": statusFIN0, "STATUS_FIN1": statusFIN1,
		"STATUS_CLOSED": statusClosed, "STATUS_REPLIED": statusReplied, "STATUS_MIDSTREAM": statusMidstream,
		"STATUS_FLUSHED": statusFlushed, "STATUS_DEAD": statusDead,
		"TIMEOUT_TCP_NEW": timeoutTCPNew, "TIMEOUT_TCP_CLOSED": timeoutTCPClosed, "TIMEOUT_NEW": timeoutNew,
		"TIMEOUT_ESTABLISHED": timeoutEstablished, "MAX_ENDPOINTS": maxEndpoints,
		"POLICIES_PER_ENDPOINT": policiesPerEndpoint,
		"ACTION_PASS":           actionPass, "ACTION_DROP": actionDrop, "ACTION_FORWARD": actionForward,
		"EXCEPTION_DROP": exceptionDrop, "EXCEPTION_CONTINUE": exceptionContinue, "EXCEPTION_REJECT": exceptionReject,
		"ENDPOINT_FREE": endpointFree, "ENDPOINT_IN_USE": endpointInUse, "ENDPOINT_LEAVING": endpointLeaving,
	}
	define := regexp.MustCompile(`(?m)^#define (\w+) (?:\(1U << (\d+)\)|(\d+))(?: /\*.*)?$`)
	for _, file := range []string{"bpf/flow.h", "bpf/maps.h"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range define.FindAllStringSubmatch(string(text), -1) {
			n, _ := strconv.Atoi(m[2] + m[3])
			if m[2] != "" {
				n = 1 << n
			}
			if w, ok := want[m[1]]; ok && w != n {
				t.Errorf("%s is %d in %s and %d in Go", m[1], n, file, w)
			}
			delete(want, m[1])
		}
	}
	for name := range want {
		t.Errorf("%s is not defined", name)
	}
}
