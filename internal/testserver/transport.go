package testserver

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
)

// bufferedTransport sends request bodies from memory. The SDK closes a body as soon
// as the answer begins, which net/http takes for a broken connection when the server
// was quicker than its own look for the body's end (smithy-go 1.28): one request in a
// hundred would be tried again, up to seconds later, and times would say nothing.
type bufferedTransport struct{}

// Do sends a request.
func (bufferedTransport) Do(r *http.Request) (*http.Response, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return http.DefaultClient.Do(r)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, fmt.Errorf("read own request: %w", err)
	}
	out := r.Clone(r.Context())
	out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return http.DefaultClient.Do(out)
}
