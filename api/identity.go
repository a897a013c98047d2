package api

import (
	"context"
	"strings"

	"sluice"
)

type getCallerIdentityRequest struct{}

type getCallerIdentityResponse struct {
	Arn     string `xml:"Arn"`
	UserID  string `xml:"UserId"`
	Account string `xml:"Account"`
}

// getCallerIdentity says whose key signed the request. The unique id of a user is
// derived from its ARN; that of the account's root is the account (AWS: IAM unique
// identifiers).
func getCallerIdentity(_ context.Context, c *call, _ *getCallerIdentityRequest) (*getCallerIdentityResponse, error) {
	account := c.backend.Scope().AccountID
	arn := c.identity.PrincipalARN
	id := account
	if !strings.HasSuffix(arn, ":root") {
		hex := strings.TrimPrefix(sluice.DeriveID("user", arn), "user-")
		id = "AIDA" + strings.ToUpper(hex)
	}
	return &getCallerIdentityResponse{arn, id, account}, nil
}
