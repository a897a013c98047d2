package api

import (
	"mime"
	"net/http"

	"sluice"
	"sluice/api/sigv4"
)

// protocol is how one service talks. It keeps nothing of a request.
type protocol interface {
	service() string
	// prepare does what comes before the signature, and may find that another
	// protocol is meant.
	prepare(*exchange) (protocol, error)
	// operation finds the row of the table that is meant.
	operation(*exchange) (operation, error)
	// decode reads the request and checks types and constraints.
	decode(x *exchange, request any) error
	success(x *exchange, result any) (reply, error)
	failure(*exchange, *fault) reply

	faults() map[sluice.Kind]fault
	unauthentic(*sigv4.Error) *fault
	internal() *fault
	tooLarge() string
}

// doorOf tells by the headers which protocol a request is in. Between EC2 and STS
// only the body decides.
func doorOf(r *http.Request) protocol {
	contentType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	_, targeted := r.Header["X-Amz-Target"]
	json := contentType == contentTypeJSON || contentType == "application/json"
	query := r.URL.Query()
	switch {
	case targeted && !json, json && r.Method != http.MethodPost:
		return unknownProtocol{}
	case json:
		return jsonProtocol{}
	case r.Method == http.MethodPost && contentType == "application/x-www-form-urlencoded",
		r.Method == http.MethodGet && (query.Has("Action") || query.Has("Version") || query.Has("X-Amz-Algorithm")):
		if sigv4.Scope(r) == serviceSTS {
			return stsProtocol{}
		}
		return ec2Protocol{}
	}
	return unknownProtocol{}
}

// unknownProtocol answers what is no request of any service.
type unknownProtocol struct{ jsonProtocol }

func (unknownProtocol) service() string { return "" }

func (unknownProtocol) prepare(*exchange) (protocol, error) {
	return nil, &fault{status: http.StatusNotFound, code: "UnknownOperationException"}
}

// failure answers in XML, as the JSON front end does where no JSON is spoken.
func (unknownProtocol) failure(_ *exchange, f *fault) reply {
	return reply{contentType: "application/xml", body: []byte("<" + f.code + "/>\n")}
}
