package api

import (
	"sluice"
	"sluice/api/wire"
)

const uuidPattern = `^([0-9a-f]{8})-([0-9a-f]{4}-){3}([0-9a-f]{12})$`

// firewallShapes are the constraints of the Network Firewall model, by its names.
func firewallShapes() wire.Shapes {
	none := -1
	return wire.Shapes{
		"ActionName":              wire.Between(1, 128).Matching(`^[a-zA-Z0-9]+$`),
		"AddressDefinition":       wire.Between(1, 255).Matching(sluice.AddressPattern),
		"AvailabilityZoneMapping": wire.Between(1, 128).Matching(`\S+`),
		"AzSubnet":                wire.Between(1, 128).Matching(`^subnet-[0-9a-f]+$`),
		"Description":             wire.Between(none, 512).Matching(`^.*$`),
		"Dimensions":              wire.Between(1, 1),
		"DimensionValue":          wire.Between(1, 128).Matching(`^[a-zA-Z0-9-_ ]+$`),
		"EnabledAnalysisType":     wire.OneOf("TLS_SNI", "HTTP_HOST"),
		"EncryptionType":          wire.OneOf("CUSTOMER_KMS", "AWS_OWNED_KMS_KEY"),
		"FlowOperationId":         wire.Between(36, 36).Matching(uuidPattern),
		"FlowOperationType":       wire.OneOf(string(sluice.FlowFlush), string(sluice.FlowCapture)),
		"IPAddressType":           wire.OneOf(sluice.IPAddressDualstack, sluice.IPAddressIPv4, sluice.IPAddressIPv6),
		"KeyId":                   wire.Between(1, 2048).Matching(`.*\S.*`),
		"OverrideAction":          wire.OneOf("DROP_TO_ALERT"),
		"PaginationMaxResults":    wire.Between(1, 100),
		"PaginationToken":         wire.Between(1, 4096).Matching(`^[0-9A-Za-z:\/+=]+$`),
		"Port":                    wire.Between(1, 1024).Matching(`^.*$`),
		"Priority":                wire.Between(1, 65535),
		"ProtocolString":          wire.Between(1, 12).Matching(`^.*$`),
		"ResourceArn":             wire.Between(1, 256).Matching(`^arn:aws.*`),
		"ResourceName":            wire.Between(1, 128).Matching(`^[a-zA-Z0-9-]+$`),
		"RuleOrder":               wire.OneOf(sluice.RuleOrderDefault, sluice.RuleOrderStrict),
		"RuleVariableName":        wire.Between(1, 32).Matching(`^[A-Za-z][A-Za-z0-9_]*$`),
		"StreamExceptionPolicy":   wire.OneOf(sluice.StreamExceptionDrop, sluice.StreamExceptionContinue, sluice.StreamExceptionReject),
		"TagKey":                  wire.Between(1, 128).Matching(`^.*$`),
		"TagKeyList":              wire.Between(1, 200),
		"TagList":                 wire.Between(none, 200), // [] counts as no tags
		"TagListSent":             wire.Between(1, 200),
		"TagsPaginationMaxResult": wire.Between(0, 100),
		"TagValue":                wire.Between(0, 256).Matching(`^.*$`),
		"TransitGatewayId":        wire.Between(1, 128).Matching(`^tgw-[0-9a-z]+$`),
		"UpdateToken":             wire.Between(1, 1024).Matching(uuidPattern),
		"VariableDefinition":      wire.Between(1, none).Matching(`^.*$`),
		"VpcEndpointId":           wire.Between(5, 256).Matching(`^vpce-[a-zA-Z0-9]*$`),
		"VpcId":                   wire.Between(1, 128).Matching(`^vpc-[0-9a-f]+$`),
	}
}
