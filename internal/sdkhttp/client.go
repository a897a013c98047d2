package sdkhttp

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
)

// Client sends the SDK's requests; the zero Client does so as http.DefaultClient.
//
// The SDK closes the body of a request as soon as the answer begins. A server on
// the same host answers before net/http has looked for the end of that body, which
// then reads as an error and closes the connection under the answer (smithy-go
// 1.28, safeReadCloser.WriteTo): the SDK tries again, up to seconds later. A body
// that lies in memory as a whole has no such moment.
type Client struct {
	Transport http.RoundTripper // nil is http.DefaultTransport
}

// Do sends a request whose body, if it has one, is small: what Sluice's operations
// take at most.
func (c Client) Do(r *http.Request) (*http.Response, error) {
	client := http.Client{Transport: c.Transport}
	if r.Body == nil || r.Body == http.NoBody {
		return client.Do(r)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, fmt.Errorf("read own request: %w", err)
	}
	out := r.Clone(r.Context())
	out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	return client.Do(out)
}
