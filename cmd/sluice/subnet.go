package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/smithy-go"
)

// maxEC2Answer bounds the answer of DescribeSubnets, bytes.
const maxEC2Answer = 16 << 20

// describeTimeout bounds DescribeSubnets.
const describeTimeout = 30 * time.Second

// subnet is what people know a subnet by.
type subnet struct {
	ID    string `xml:"subnetId"`
	VpcID string `xml:"vpcId"`
	Zone  string `xml:"availabilityZone"`
	CIDR  string `xml:"cidrBlock"`
	Tags  []struct {
		Key   string `xml:"key"`
		Value string `xml:"value"`
	} `xml:"tagSet>item"`
}

// name is the subnet's tag Name.
func (s subnet) name() string {
	for _, t := range s.Tags {
		if t.Key == "Name" {
			return t.Value
		}
	}
	return ""
}

func (s subnet) String() string {
	if n := s.name(); n != "" {
		return n + " (" + s.ID + ", " + s.CIDR + ")"
	}
	return s.ID + " (" + s.CIDR + ")"
}

// describeSubnets asks EC2 for all subnets, in one signed request. The SDK's EC2
// client would do, but it takes a minute to compile and 20 MB of the binary.
func describeSubnets(ctx context.Context, cfg aws.Config) ([]subnet, error) {
	ctx, cancel := context.WithTimeout(ctx, describeTimeout)
	defer cancel()
	const body = "Action=DescribeSubnets&Version=2016-11-15"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, aws.ToString(cfg.BaseEndpoint)+"/", strings.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("describe subnets: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	keys, err := cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, fmt.Errorf("describe subnets: %w", err)
	}
	hash := sha256.Sum256([]byte(body))
	if err := v4.NewSigner().SignHTTP(ctx, keys, req, hex.EncodeToString(hash[:]), "ec2", cfg.Region, time.Now()); err != nil {
		return nil, fmt.Errorf("describe subnets: %w", err)
	}
	resp, err := cfg.HTTPClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxEC2Answer))
	if err != nil {
		return nil, fmt.Errorf("describe subnets: %w", err)
	}
	return parseSubnets(resp.StatusCode, text)
}

func parseSubnets(status int, text []byte) ([]subnet, error) {
	var answer struct {
		Subnets []subnet `xml:"subnetSet>item"`
		Code    string   `xml:"Errors>Error>Code"`
		Message string   `xml:"Errors>Error>Message"`
	}
	if err := xml.Unmarshal(text, &answer); err != nil {
		return nil, fmt.Errorf("describe subnets: HTTP %d: %w", status, err)
	}
	if status != http.StatusOK {
		return nil, &smithy.GenericAPIError{Code: answer.Code, Message: answer.Message}
	}
	return answer.Subnets, nil
}

// chooseSubnets returns the subnets that are named by id or name. Where none are
// named, each zone (or the one that is asked for) has to have exactly one.
func chooseSubnets(all []subnet, named []string, zone string) ([]subnet, error) {
	inZone := slices.DeleteFunc(slices.Clone(all), func(s subnet) bool { return zone != "" && s.Zone != zone })
	if len(inZone) == 0 {
		if zone != "" {
			return nil, fmt.Errorf("zone %s has no subnet", zone)
		}
		return nil, fmt.Errorf("the server knows no subnet")
	}
	var chosen []subnet
	for _, name := range named {
		i := slices.IndexFunc(inZone, func(s subnet) bool { return s.ID == name || s.name() == name })
		if i < 0 {
			return nil, fmt.Errorf("no subnet %q; there are:%s", name, subnetLines(inZone))
		}
		chosen = append(chosen, inZone[i])
	}
	if len(named) == 0 {
		chosen = inZone
	}
	zones := map[string]bool{}
	for _, s := range chosen {
		if zones[s.Zone] {
			return nil, fmt.Errorf("a firewall has one subnet in each zone, and %s has several: say which with --subnet:%s", s.Zone, subnetLines(inZone))
		}
		zones[s.Zone] = true
	}
	return chosen, nil
}

func subnetLines(list []subnet) string {
	var b strings.Builder
	for _, s := range list {
		b.WriteString("\n  " + s.Zone + "  " + s.String())
	}
	return b.String()
}
