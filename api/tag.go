package api

import (
	"context"

	"sluice"
)

// tag is the Tag structure, in requests and answers.
type tag struct {
	Key   *string `shape:"TagKey" required:"true"`
	Value *string `shape:"TagValue" required:"true"`
}

func tagsOf(in []tag) []sluice.Tag {
	out := make([]sluice.Tag, len(in))
	for i, t := range in {
		out[i] = sluice.Tag{Key: value(t.Key), Value: value(t.Value)}
	}
	return out
}

// showTags makes an answer's Tags, which is there when empty too.
func showTags(in []sluice.Tag) []tag {
	out := make([]tag, len(in))
	for i, t := range in {
		out[i] = tag{&t.Key, &t.Value}
	}
	return out
}

type tagResourceRequest struct {
	ResourceArn *string `shape:"ResourceArn" required:"true"`
	Tags        []tag   `shape:"TagListSent" required:"true"`
}

type untagResourceRequest struct {
	ResourceArn *string  `shape:"ResourceArn" required:"true"`
	TagKeys     []string `shape:"TagKeyList" of:"TagKey" required:"true"`
}

type listTagsForResourceRequest struct {
	NextToken   *string `shape:"PaginationToken"`
	MaxResults  *int32  `shape:"TagsPaginationMaxResult"` // 0 is allowed, and the default
	ResourceArn *string `shape:"ResourceArn" required:"true"`
}

type listTagsForResourceResponse struct {
	NextToken *string `json:",omitempty"`
	Tags      []tag
}

// nothing is the answer of an operation that has none.
type nothing struct{}

func tagResource(ctx context.Context, c *call, in *tagResourceRequest) (*nothing, error) {
	return &nothing{}, c.backend.TagResource(ctx, *in.ResourceArn, tagsOf(in.Tags))
}

func untagResource(ctx context.Context, c *call, in *untagResourceRequest) (*nothing, error) {
	return &nothing{}, c.backend.UntagResource(ctx, *in.ResourceArn, in.TagKeys)
}

func listTagsForResource(ctx context.Context, c *call, in *listTagsForResourceRequest) (*listTagsForResourceResponse, error) {
	tags, err := c.backend.ResourceTags(ctx, *in.ResourceArn)
	if err != nil {
		return nil, err
	}
	bound := binding(c.operation, in.ResourceArn)
	page, next, err := byName(c, bound, in.NextToken, in.MaxResults, tags, func(t sluice.Tag) string { return t.Key })
	if err != nil {
		return nil, err
	}
	return &listTagsForResourceResponse{next, showTags(page)}, nil
}
