package api

import (
	"errors"
	"net/http"
	"strings"

	"sluice"
	"sluice/api/sigv4"
	"sluice/api/wire"
)

const (
	contentTypeJSON = "application/x-amz-json-1.0"
	targetPrefix    = "NetworkFirewall_20201112."
)

// jsonProtocol is awsJson1.0, in which Network Firewall talks.
type jsonProtocol struct{}

func (jsonProtocol) service() string { return serviceFirewall }

func (p jsonProtocol) prepare(x *exchange) (protocol, error) {
	op, known := p.target(x)
	if known {
		x.operation = op.name
	}
	if err := wire.CheckJSON(x.body); err != nil {
		return nil, shapeFault(err)
	}
	if !known {
		return nil, &fault{status: http.StatusBadRequest, code: "UnknownOperationException"}
	}
	return p, nil
}

func (jsonProtocol) target(x *exchange) (operation, bool) {
	name, ok := strings.CutPrefix(x.r.Header.Get("X-Amz-Target"), targetPrefix)
	op, known := x.operations[serviceFirewall][name]
	return op, ok && known
}

func (p jsonProtocol) operation(x *exchange) (operation, error) {
	op, _ := p.target(x)
	return op, nil
}

func (jsonProtocol) decode(x *exchange, request any) error {
	if err := wire.DecodeJSON(x.body, request); err != nil {
		return shapeFault(err)
	}
	if err := x.shapes.Validate(request); err != nil {
		return shapeFault(err)
	}
	return nil
}

// shapeFault is a body that can't be read or a value that breaks its shape.
func shapeFault(err error) error {
	if e, ok := errors.AsType[*wire.SerializationError](err); ok {
		return &fault{http.StatusBadRequest, "SerializationException", e.Message}
	}
	if e, ok := errors.AsType[*wire.ValidationError](err); ok {
		return &fault{http.StatusBadRequest, "ValidationException", e.Error()}
	}
	return err
}

func (jsonProtocol) success(_ *exchange, result any) (reply, error) {
	body, err := wire.EncodeJSON(result)
	return reply{status: http.StatusOK, contentType: contentTypeJSON, body: body}, err
}

// failure states the code in the body too, where botocore looks for it.
func (jsonProtocol) failure(_ *exchange, f *fault) reply {
	body, err := wire.EncodeJSON(struct {
		Type    string `json:"__type"`
		Message string `json:"message,omitempty"`
	}{f.code, f.message})
	if err != nil { // two strings always encode
		body = []byte("{}")
	}
	return reply{contentType: contentTypeJSON, body: body}
}

func (jsonProtocol) faults() map[sluice.Kind]fault { return jsonFaults() }

func (jsonProtocol) unauthentic(e *sigv4.Error) *fault { return jsonAuthFault(e) }

func (jsonProtocol) internal() *fault {
	return &fault{http.StatusInternalServerError, "InternalServerError", messageInternal}
}

func (jsonProtocol) tooLarge() string { return "RequestEntityTooLargeException" }
