package api

import (
	"bytes"
	"errors"
	"net/http"

	"sluice"
	"sluice/api/sigv4"
	"sluice/api/wire"
)

const (
	versionEC2     = "2016-11-15"
	versionSTS     = "2011-06-15"
	contentTypeXML = "text/xml;charset=UTF-8"
)

// ec2Protocol is the Query protocol in the style of EC2.
type ec2Protocol struct{}

// stsProtocol is the Query protocol as STS and most others talk it: the answer in a
// Result element, errors in an ErrorResponse.
type stsProtocol struct{ ec2Protocol }

func (ec2Protocol) service() string { return serviceEC2 }
func (stsProtocol) service() string { return serviceSTS }

// parameters reads the parameters from where the method puts them.
func parameters(x *exchange) ([]wire.Parameter, error) {
	raw := x.r.URL.RawQuery
	if x.r.Method == http.MethodPost {
		raw = string(x.body)
	}
	params, err := wire.ParseQuery(raw)
	if err != nil {
		return nil, queryFault(err)
	}
	return params, nil
}

// queryFault is a query that can't be read.
func queryFault(err error) error {
	if e, ok := errors.AsType[*wire.QueryError](err); ok {
		return &fault{http.StatusBadRequest, e.Code, e.Message}
	}
	return err
}

// prepare tells EC2 from STS: by the version where it is known, otherwise by the
// scope of the credential.
func (ec2Protocol) prepare(x *exchange) (protocol, error) {
	params, err := parameters(x)
	if err != nil {
		return nil, err
	}
	x.params = params
	d := x.door
	switch wire.Find(params, "Version") {
	case versionEC2:
		d = ec2Protocol{}
	case versionSTS:
		d = stsProtocol{}
	}
	if op, known := x.operations[d.service()][wire.Find(params, "Action")]; known {
		x.operation = op.name
	}
	return d, nil
}

func (ec2Protocol) operation(x *exchange) (operation, error) {
	return queryOperation(x, versionEC2, "AmazonEC2")
}

func (stsProtocol) operation(x *exchange) (operation, error) {
	return queryOperation(x, versionSTS, "AWSSecurityTokenService")
}

func queryOperation(x *exchange, version, product string) (operation, error) {
	action, v := wire.Find(x.params, "Action"), wire.Find(x.params, "Version")
	op, known := x.operations[x.door.service()][action]
	switch {
	case action == "":
		return op, &fault{http.StatusBadRequest, "MissingAction", "MissingAction: The request is missing the action parameter."}
	case v == "":
		return op, &fault{http.StatusBadRequest, "MissingParameter", "The request must contain the parameter Version"}
	case v != version:
		return op, &fault{http.StatusBadRequest, "NoSuchVersion",
			"The requested version (" + clip(v) + ") of service " + product + " does not exist"}
	case !known:
		return op, &fault{http.StatusBadRequest, "InvalidAction",
			"The action " + clip(action) + " is not valid for this web service."}
	}
	return op, nil
}

func (ec2Protocol) decode(x *exchange, request any) error {
	if err := wire.DecodeQuery(x.params, request); err != nil {
		return queryFault(err)
	}
	return nil
}

func (ec2Protocol) success(x *exchange, result any) (reply, error) {
	b := bytes.NewBufferString(wire.Header)
	root := x.operation + "Response"
	b.WriteString("<" + root + ` xmlns="http://ec2.amazonaws.com/doc/` + versionEC2 + `/">`)
	wire.AppendElement(b, "requestId", x.requestID)
	if err := wire.AppendXML(b, result); err != nil {
		return reply{}, err
	}
	b.WriteString("</" + root + ">")
	return reply{status: http.StatusOK, contentType: contentTypeXML, body: b.Bytes()}, nil
}

const namespaceSTS = ` xmlns="https://sts.amazonaws.com/doc/` + versionSTS + `/"`

func (stsProtocol) success(x *exchange, result any) (reply, error) {
	b := bytes.NewBufferString(wire.Header)
	b.WriteString("<" + x.operation + "Response" + namespaceSTS + "><" + x.operation + "Result>")
	if err := wire.AppendXML(b, result); err != nil {
		return reply{}, err
	}
	b.WriteString("</" + x.operation + "Result><ResponseMetadata>")
	wire.AppendElement(b, "RequestId", x.requestID)
	b.WriteString("</ResponseMetadata></" + x.operation + "Response>")
	return reply{status: http.StatusOK, contentType: "text/xml", body: b.Bytes()}, nil
}

func (ec2Protocol) failure(x *exchange, f *fault) reply {
	b := bytes.NewBufferString(wire.Header)
	b.WriteString("<Response><Errors><Error>")
	wire.AppendElement(b, "Code", f.code)
	wire.AppendElement(b, "Message", f.message)
	b.WriteString("</Error></Errors>")
	wire.AppendElement(b, "RequestID", x.requestID)
	b.WriteString("</Response>")
	return reply{contentType: contentTypeXML, body: b.Bytes()}
}

func (stsProtocol) failure(x *exchange, f *fault) reply {
	side := "Sender"
	if f.status >= http.StatusInternalServerError {
		side = "Receiver"
	}
	b := bytes.NewBufferString(wire.Header)
	b.WriteString("<ErrorResponse" + namespaceSTS + "><Error>")
	wire.AppendElement(b, "Type", side)
	wire.AppendElement(b, "Code", f.code)
	wire.AppendElement(b, "Message", f.message)
	b.WriteString("</Error>")
	wire.AppendElement(b, "RequestId", x.requestID)
	b.WriteString("</ErrorResponse>")
	return reply{contentType: "text/xml", body: b.Bytes()}
}

func (ec2Protocol) faults() map[sluice.Kind]fault { return queryFaults() }

func (ec2Protocol) unauthentic(e *sigv4.Error) *fault { return ec2AuthFault(e) }
func (stsProtocol) unauthentic(e *sigv4.Error) *fault { return stsAuthFault(e) }

func (ec2Protocol) internal() *fault {
	return &fault{http.StatusInternalServerError, "InternalError", messageInternal}
}

func (stsProtocol) internal() *fault {
	return &fault{http.StatusInternalServerError, "InternalFailure", messageInternal}
}

func (ec2Protocol) tooLarge() string { return "RequestEntityTooLarge" }

// clip bounds what a message repeats of a request.
func clip(s string) string {
	if len(s) > 256 {
		return s[:256] + "..."
	}
	return s
}
