package api

import (
	"context"
	"maps"
	"slices"

	"sluice"
	"sluice/control"
)

// resourceTagGiven is a Tag of an EC2 request.
type resourceTagGiven struct {
	Key   *string `query:"Key"`
	Value *string `query:"Value"`
}

func resourceTagsGiven(in []resourceTagGiven) []sluice.Tag {
	var out []sluice.Tag
	for _, t := range in {
		out = append(out, sluice.Tag{Key: value(t.Key), Value: value(t.Value)})
	}
	return out
}

// tagSpecification is one TagSpecification.N of a create request.
type tagSpecification struct {
	ResourceType *string            `query:"ResourceType"`
	Tags         []resourceTagGiven `query:"Tag"`
}

// specifiedTags returns the tags that a create request gives to what it creates.
func specifiedTags(resourceType string, in []tagSpecification) ([]sluice.Tag, error) {
	var out []sluice.Tag
	for _, s := range in {
		if value(s.ResourceType) == "" {
			return nil, sluice.EC2Errorf(sluice.KindInvalidRequest, "InvalidParameterValue", "Tag specification resource type must have a value")
		}
		if *s.ResourceType != resourceType {
			return nil, sluice.EC2Errorf(sluice.KindInvalidRequest, "InvalidParameterValue",
				"'%s' is not a valid taggable resource type for this operation.", clip(*s.ResourceType))
		}
		out = append(out, resourceTagsGiven(s.Tags)...)
	}
	return out, nil
}

// creating are the parameters that the create requests of traffic mirroring share.
type creating struct {
	TagSpecifications []tagSpecification `query:"TagSpecification"`
	ClientToken       *string            `query:"ClientToken"`
	DryRun            *bool              `query:"DryRun"`
}

// creation makes what control needs of them. A request without a client token gets
// one, which its answer shows.
func (in creating) creation(resourceType string) (control.EC2Creation, error) {
	tags, err := specifiedTags(resourceType, in.TagSpecifications)
	out := control.EC2Creation{ClientToken: value(in.ClientToken), DryRun: value(in.DryRun), Tags: tags}
	if out.ClientToken == "" {
		out.ClientToken = sluice.NewUUID()
	}
	return out, err
}

// returned is the answer of an operation that has nothing to tell.
type returned struct {
	Return bool `xml:"return"`
}

type createTagsRequest struct {
	Resources []string           `query:"ResourceId" required:"true"`
	Tags      []resourceTagGiven `query:"Tag" required:"true"`
	DryRun    *bool              `query:"DryRun"`
}

type deleteTagsRequest struct {
	Resources []string           `query:"ResourceId" required:"true"`
	Tags      []resourceTagGiven `query:"Tag"`
	DryRun    *bool              `query:"DryRun"`
}

type describeTagsRequest struct{ pagedRead }

type describeTagsResponse struct {
	Tags      []tagDescription `xml:"tagSet"`
	NextToken *string          `xml:"nextToken"`
}

type tagDescription struct {
	ResourceID   string `xml:"resourceId"`
	ResourceType string `xml:"resourceType"`
	Key          string `xml:"key"`
	Value        string `xml:"value,empty"`
}

func createTags(ctx context.Context, c *call, in *createTagsRequest) (*returned, error) {
	return &returned{true}, c.backend.CreateTags(ctx, in.Resources, resourceTagsGiven(in.Tags), value(in.DryRun))
}

func deleteTags(ctx context.Context, c *call, in *deleteTagsRequest) (*returned, error) {
	var selectors []control.EC2TagSelector
	for _, t := range in.Tags {
		selectors = append(selectors, control.EC2TagSelector{Key: value(t.Key), Value: t.Value})
	}
	return &returned{true}, c.backend.DeleteTags(ctx, in.Resources, selectors, value(in.DryRun))
}

func describeTags(ctx context.Context, c *call, in *describeTagsRequest) (*describeTagsResponse, error) {
	all, err := allTags(ctx, c)
	if err != nil {
		return nil, err
	}
	type t = tagDescription
	page, next, err := listing[t]{
		id:      func(v t) string { return v.ResourceID + " " + v.Key },
		tags:    func(v t) []sluice.Tag { return []sluice.Tag{{Key: v.Key, Value: v.Value}} },
		maxPage: 1000,
		filters: attributes[t]{
			"key":           one(func(v t) string { return v.Key }),
			"value":         one(func(v t) string { return v.Value }),
			"resource-id":   one(func(v t) string { return v.ResourceID }),
			"resource-type": one(func(v t) string { return v.ResourceType }),
		},
	}.list(c, nil, in.pagedRead, all)
	if err != nil {
		return nil, err
	}
	return &describeTagsResponse{page, next}, nil
}

// allTags returns every tag that some read would show.
func allTags(ctx context.Context, c *call) ([]tagDescription, error) {
	inv, err := c.inventory(ctx)
	if err != nil {
		return nil, err
	}
	shown := map[string][]resourceTag{}
	given, err := c.backend.EC2Tags(ctx)
	if err != nil {
		return nil, err
	}
	for id, tags := range given {
		shown[id] = showResourceTags(tags)
	}
	scope := c.backend.Scope()
	for _, n := range showInterfaces(inv, scope) {
		shown[n.ID] = n.Tags
	}
	for _, i := range showInstances(inv, scope) {
		shown[i.ID] = i.Tags
	}
	for _, s := range inv.Subnets {
		shown[s.ID] = showSubnet(s, inv, scope).Tags
	}
	var out []tagDescription
	for _, id := range slices.Sorted(maps.Keys(shown)) {
		for _, t := range shown[id] {
			out = append(out, tagDescription{id, sluice.EC2ResourceType(id), t.Key, t.Value})
		}
	}
	return out, nil
}
