package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/smithy-go"
)

// maxEC2Answer bounds the answer of one EC2 request, bytes.
const maxEC2Answer = 16 << 20

// ec2Timeout bounds one EC2 request.
const ec2Timeout = 30 * time.Second

// ec2Version is the only version of the EC2 API that there is today.
const ec2Version = "2016-11-15"

// ec2 makes signed requests of the EC2 Query API. The SDK's client would do, but it
// takes a minute to compile and 20 MB of the binary for the dozen operations that
// are needed here; the signer and the keys are the SDK's.
type ec2 struct{ config aws.Config }

// call makes one request and decodes the answer, which is a struct with xml tags or
// nil. An error of the API is a *smithy.GenericAPIError.
func (e ec2) call(ctx context.Context, action string, parameters url.Values, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, ec2Timeout)
	defer cancel()
	form := url.Values{"Action": {action}, "Version": {ec2Version}}
	for k, v := range parameters {
		form[k] = v
	}
	body := form.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, aws.ToString(e.config.BaseEndpoint)+"/", strings.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s: %w", action, err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	keys, err := e.config.Credentials.Retrieve(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", action, err)
	}
	hash := sha256.Sum256([]byte(body))
	if err := v4.NewSigner().SignHTTP(ctx, keys, req, hex.EncodeToString(hash[:]), "ec2", e.config.Region, time.Now()); err != nil {
		return fmt.Errorf("%s: %w", action, err)
	}
	resp, err := e.config.HTTPClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxEC2Answer))
	if err != nil {
		return fmt.Errorf("%s: %w", action, err)
	}
	if err := decodeEC2(resp.StatusCode, text, answer); err != nil {
		return fmt.Errorf("%s: %w", action, err)
	}
	return nil
}

// decodeEC2 reads the body of an answer, or the error that it is.
func decodeEC2(status int, text []byte, answer any) error {
	if status == http.StatusOK {
		if answer == nil {
			return nil
		}
		return xml.Unmarshal(text, answer)
	}
	var failure struct {
		Code    string `xml:"Errors>Error>Code"`
		Message string `xml:"Errors>Error>Message"`
	}
	if err := xml.Unmarshal(text, &failure); err != nil || failure.Code == "" {
		return fmt.Errorf("HTTP %d without an error of the API", status)
	}
	return &smithy.GenericAPIError{Code: failure.Code, Message: failure.Message}
}

// page is an answer of a Describe operation: items of T in the element that name
// says, and where it goes on.
type page[T any] struct {
	Items     []T
	NextToken string
}

// describe asks for all pages of a Describe operation. decode reads one of them.
func describe[T any](ctx context.Context, e ec2, action string, parameters url.Values, decode func() (answer any, page func() page[T])) ([]T, error) {
	all := []T{}
	token := ""
	for {
		ask := url.Values{}
		for k, v := range parameters {
			ask[k] = v
		}
		if token != "" {
			ask.Set("NextToken", token)
		}
		answer, read := decode()
		if err := e.call(ctx, action, ask, answer); err != nil {
			return nil, err
		}
		p := read()
		all = append(all, p.Items...)
		if p.NextToken == "" || p.NextToken == token {
			return all, nil
		}
		token = p.NextToken
	}
}

// ec2Filter adds a filter to the parameters of a Describe operation.
func ec2Filter(parameters url.Values, name string, values ...string) url.Values {
	n := 1
	for parameters.Has(fmt.Sprintf("Filter.%d.Name", n)) {
		n++
	}
	prefix := fmt.Sprintf("Filter.%d.", n)
	parameters.Set(prefix+"Name", name)
	for i, v := range values {
		parameters.Set(prefix+"Value."+strconv.Itoa(i+1), v)
	}
	return parameters
}

// ec2Tag is a tag of a resource.
type ec2Tag struct {
	Key   string `xml:"key"`
	Value string `xml:"value"`
}

// setTags asks for tags on what a Create operation makes.
func setTags(parameters url.Values, resourceType string, tags []ec2Tag) {
	if len(tags) == 0 {
		return
	}
	parameters.Set("TagSpecification.1.ResourceType", resourceType)
	for i, t := range tags {
		prefix := fmt.Sprintf("TagSpecification.1.Tag.%d.", i+1)
		parameters.Set(prefix+"Key", t.Key)
		parameters.Set(prefix+"Value", t.Value)
	}
}

func tagValue(tags []ec2Tag, key string) string {
	for _, t := range tags {
		if t.Key == key {
			return t.Value
		}
	}
	return ""
}
