package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/networkfirewall"
	"github.com/aws/smithy-go"

	"sluice/internal/sdkhttp"
)

// caBundleVariable names a file of certificates that the SDKs trust.
const caBundleVariable = "AWS_CA_BUNDLE"

// awsConfig reads the shared files as the SDKs do, but nothing else: neither
// AWS_PROFILE nor keys in the environment may send a flush somewhere else. bundle
// is a file of certificates to trust; "" is that of the files, or the system's.
func awsConfig(ctx context.Context, files sharedFiles, bundle string) (aws.Config, error) {
	shared, err := config.LoadSharedConfigProfile(ctx, "default", func(o *config.LoadSharedConfigOptions) {
		o.CredentialsFiles = []string{files.credentials}
		o.ConfigFiles = []string{files.config}
	})
	if err != nil {
		return aws.Config{}, fmt.Errorf("read %s and %s: %w", files.config, files.credentials, whyUnreadable(files, err))
	}
	if shared.BaseEndpoint == "" {
		return aws.Config{}, fmt.Errorf("read %s: no endpoint_url in profile default, so this is not the API of a Sluice", files.config)
	}
	if !shared.Credentials.HasKeys() {
		return aws.Config{}, fmt.Errorf("read %s: no keys in profile default", files.credentials)
	}
	cfg := aws.Config{
		Region:       shared.Region,
		BaseEndpoint: aws.String(shared.BaseEndpoint),
		Credentials:  credentials.StaticCredentialsProvider{Value: shared.Credentials},
	}
	if bundle == "" {
		bundle = shared.CustomCABundle
	}
	transport, err := newTransport(bundle)
	if err != nil {
		return aws.Config{}, err
	}
	cfg.HTTPClient = sdkhttp.Client{Transport: transport}
	return cfg, nil
}

// whyUnreadable replaces the SDK's "profile not found" by what the file system
// says of the files, when it says anything.
func whyUnreadable(files sharedFiles, err error) error {
	for _, name := range []string{files.credentials, files.config} {
		f, openErr := os.Open(name)
		switch {
		case errors.Is(openErr, os.ErrNotExist):
			return fmt.Errorf("not there: sluice serve writes them when it first starts")
		case errors.Is(openErr, os.ErrPermission):
			return fmt.Errorf("permission denied: they are their owner's alone (try sudo)")
		case openErr != nil:
			return openErr
		}
		f.Close()
	}
	return err
}

// apiClient is the stock SDK client of the Network Firewall API, and the
// configuration that it was made from.
type apiClient struct {
	*networkfirewall.Client
	config aws.Config
}

// connection is the flags that every verb of the people's side takes.
type connection struct {
	configFile string
	output     string
}

func (c *connection) register(f *flags) {
	f.StringVar(&c.configFile, "config", "", "configuration `FILE` of the server (default as for sluice env)")
	f.StringVar(&c.output, "output", "table", "`FORMAT`: table or json")
}

// json tells whether the output is for scripts.
func (c *connection) json() bool { return c.output == "json" }

// check refuses an unknown format.
func (c *connection) check(f *flags) error {
	if c.output != "json" && c.output != "table" {
		return usagef(f.command, "--output %q: want table or json", c.output)
	}
	return nil
}

// client makes the client for the server that the flags name.
func (c *connection) client(ctx context.Context, s *shell) (*apiClient, error) {
	files, err := findSharedFiles(s, c.configFile)
	if err != nil {
		return nil, err
	}
	cfg, err := awsConfig(ctx, files, s.getenv(caBundleVariable))
	if err != nil {
		return nil, err
	}
	return newClient(cfg), nil
}

func newClient(cfg aws.Config) *apiClient {
	return &apiClient{Client: networkfirewall.NewFromConfig(cfg), config: cfg}
}

// describeError writes an error for people: AWS's as code and message, without
// the SDK's wrapping; a server that can't be reached by its address.
func describeError(err error) string {
	var apiErr smithy.APIError
	if errors.As(err, &apiErr) {
		return apiErr.ErrorCode() + ": " + apiErr.ErrorMessage()
	}
	var urlErr *url.Error
	if !errors.As(err, &urlErr) {
		return err.Error()
	}
	var opErr *net.OpError
	address := urlErr.URL
	if u, parseErr := url.Parse(urlErr.URL); parseErr == nil {
		address = u.Scheme + "://" + u.Host
	}
	if errors.As(urlErr, &opErr) && errors.Is(opErr, syscall.ECONNREFUSED) {
		return fmt.Sprintf("reach %s: connection refused: is sluice serve running?", address)
	}
	return fmt.Sprintf("reach %s: %s", address, urlErr.Err)
}

// isCode tells whether err is the API's answer with an error code.
func isCode(err error, code string) bool {
	var apiErr smithy.APIError
	return errors.As(err, &apiErr) && apiErr.ErrorCode() == code
}
