package sdkhttp_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/networkfirewall"

	"sluice/internal/sdkhttp"
)

// TestAFastServerIsAskedOnce fails within a few hundred requests on several CPUs
// when the SDK's bodies are sent as they are.
func TestAFastServerIsAskedOnce(t *testing.T) {
	page := `{"Flows":[` + strings.Repeat(`{"Protocol":"6","Age":1},`, 800) + `{}]}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if body, err := io.ReadAll(r.Body); err != nil || int64(len(body)) != r.ContentLength {
			t.Errorf("request of %d bytes has %d (%v)", r.ContentLength, len(body), err)
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		io.WriteString(w, page)
	}))
	defer server.Close()
	c := networkfirewall.NewFromConfig(aws.Config{Region: "eu-west-1", BaseEndpoint: aws.String(server.URL), RetryMaxAttempts: 1,
		HTTPClient: sdkhttp.Client{}, Credentials: credentials.NewStaticCredentialsProvider("AKIA", "secret", "")})
	for i := range 1000 {
		_, err := c.ListFlowOperationResults(t.Context(), &networkfirewall.ListFlowOperationResultsInput{FirewallArn: aws.String("arn:aws:network-firewall:eu-west-1:000000000000:firewall/edge"), FlowOperationId: aws.String("0123456789abcdef0123456789abcdef")})
		if err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
	}
}
