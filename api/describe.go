package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"sluice"
)

// read are the parameters of every EC2 read.
type read struct {
	Filters []filter `query:"Filter"`
	DryRun  *bool    `query:"DryRun"`
}

// pagedRead are those of a read that comes in pages.
type pagedRead struct {
	read
	MaxResults *int32  `query:"MaxResults"`
	NextToken  *string `query:"NextToken"`
}

const minPageEC2 = 5

// listing is how one kind of thing is asked for.
type listing[T any] struct {
	parameter string // of the ids, for messages
	id        func(T) string
	tags      func(T) []sluice.Tag // nil where the kind has none
	filters   attributes[T]
	maxPage   int32
	exclusive bool                  // ids and MaxResults can't be together
	malformed func(id string) error // nil where such an id is answered as one that is missing
	missing   func(id string) error
}

// selection is what a read asks for, and what the token of its next page carries:
// some clients send nothing but the token.
type selection struct {
	IDs     []string
	Filters []filter
	Max     int32
	After   string // the id of the last thing that was shown
}

// list answers a read: what is selected of all, one page of it, and the token of the
// next.
func (l listing[T]) list(c *call, ids []string, in pagedRead, all []T) ([]T, *string, error) {
	if err := l.checkPage(ids, in.MaxResults); err != nil {
		return nil, nil, err
	}
	s := selection{IDs: ids, Filters: in.Filters, Max: value(in.MaxResults)}
	if value(in.NextToken) != "" {
		var err error
		if s, err = c.resume(s, *in.NextToken); err != nil {
			return nil, nil, err
		}
	}
	found, err := l.choose(s, all)
	if err != nil {
		return nil, nil, err
	}
	if value(in.DryRun) {
		return nil, nil, sluice.DryRun()
	}
	if s.Max == 0 || len(found) <= int(s.Max) {
		return found, nil, nil
	}
	found = found[:s.Max]
	s.After = l.id(found[len(found)-1])
	raw, err := json.Marshal(s)
	if err != nil {
		return nil, nil, fmt.Errorf("encode page position: %w", err)
	}
	next := c.tokens.Seal(c.operation, raw)
	return found, &next, nil
}

func (l listing[T]) checkPage(ids []string, maxResults *int32) error {
	if maxResults == nil {
		return nil
	}
	invalid := func(reason string) error {
		return &fault{http.StatusBadRequest, "InvalidParameterValue",
			fmt.Sprintf("Value ( %d ) for parameter maxResults is invalid. %s", *maxResults, reason)}
	}
	switch {
	case *maxResults < minPageEC2:
		return invalid("Expecting a value greater than 5.")
	case *maxResults > l.maxPage:
		return invalid(fmt.Sprintf("Expecting a value less than or equal to %d.", l.maxPage))
	case l.exclusive && len(ids) > 0:
		return &fault{http.StatusBadRequest, "InvalidParameterCombination",
			"The parameter " + l.parameter + " cannot be used with the parameter maxResults"}
	}
	return nil
}

// resume takes up what a token carries. What the request repeats has to be the same.
func (c *call) resume(asked selection, token string) (selection, error) {
	invalid := &fault{http.StatusBadRequest, "InvalidNextToken", "The token '" + clip(token) + "' is invalid"}
	raw, err := c.tokens.Open(c.operation, token)
	if err != nil {
		return selection{}, invalid
	}
	var s selection
	if err := json.Unmarshal(raw, &s); err != nil {
		return selection{}, invalid
	}
	if asked.IDs != nil && !slices.Equal(asked.IDs, s.IDs) {
		return selection{}, invalid
	}
	if asked.Filters != nil && !slices.EqualFunc(asked.Filters, s.Filters, func(a, b filter) bool {
		return value(a.Name) == value(b.Name) && slices.Equal(a.Values, b.Values)
	}) {
		return selection{}, invalid
	}
	if asked.Max != 0 {
		s.Max = asked.Max
	}
	return s, nil
}

// choose finds what is selected and comes after the position, ordered by id, so that
// pages stay in step while things come and go.
func (l listing[T]) choose(s selection, all []T) ([]T, error) {
	if err := checkFilters(s.Filters, l.filters, l.tags != nil); err != nil {
		return nil, err
	}
	if err := l.checkIDs(s.IDs, all); err != nil {
		return nil, err
	}
	var found []T
	for _, v := range all {
		id := l.id(v)
		if s.After != "" && id <= s.After || s.IDs != nil && !slices.Contains(s.IDs, id) {
			continue
		}
		var tags []sluice.Tag
		if l.tags != nil {
			tags = l.tags(v)
		}
		if matches(v, s.Filters, l.filters, tags) {
			found = append(found, v)
		}
	}
	slices.SortFunc(found, func(a, b T) int { return strings.Compare(l.id(a), l.id(b)) })
	return found, nil
}

func (l listing[T]) checkIDs(ids []string, all []T) error {
	for _, id := range ids {
		if l.malformed == nil {
			break
		}
		if err := l.malformed(id); err != nil {
			return err
		}
	}
	for _, id := range ids {
		if !slices.ContainsFunc(all, func(v T) bool { return l.id(v) == id }) {
			return l.missing(id)
		}
	}
	return nil
}

// malformedID refuses ids that are not the prefix and 8 or 17 hexadecimal digits.
func malformedID(prefix, code string) func(string) error {
	return func(id string) error {
		digits, ok := strings.CutPrefix(id, prefix+"-")
		if ok && (len(digits) == 8 || len(digits) == 17) && strings.Trim(digits, "0123456789abcdef") == "" {
			return nil
		}
		return &fault{http.StatusBadRequest, code, `Invalid id: "` + clip(id) + `"`}
	}
}

// missingID says that there is no thing of an id.
func missingID(noun, code string) func(string) error {
	return func(id string) error {
		return &fault{http.StatusBadRequest, code, "The " + noun + " ID '" + clip(id) + "' does not exist"}
	}
}

// noSuch says that there is no resource of a type and an id.
func noSuch(resourceType string) func(string) error {
	return func(id string) error { return sluice.NoSuchResource(resourceType, id) }
}

// taggedInventory is the inventory with the tags that its things were given, by id.
type taggedInventory struct {
	sluice.Inventory
	tags map[string][]sluice.Tag
}

func (c *call) inventory(ctx context.Context) (taggedInventory, error) {
	inv, err := c.backend.Inventory(ctx)
	if err != nil {
		return taggedInventory{}, err
	}
	tags, err := c.backend.EC2Tags(ctx, sluice.ResourceNetworkInterface, sluice.ResourceInstance, sluice.ResourceSubnet, sluice.ResourceVpc)
	return taggedInventory{inv, tags}, err
}

// resourceTag is a Tag of EC2.
type resourceTag struct {
	Key   string `xml:"key"`
	Value string `xml:"value,empty"`
}

// inventoryTags are the tags of a thing of the inventory: those that it was given,
// and its name there as Name, unless it was given another.
func inventoryTags(name string, given []sluice.Tag) []sluice.Tag {
	if name == "" || slices.ContainsFunc(given, func(t sluice.Tag) bool { return t.Key == "Name" }) {
		return given
	}
	return append([]sluice.Tag{{Key: "Name", Value: name}}, given...)
}

func showResourceTags(tags []sluice.Tag) []resourceTag {
	out := make([]resourceTag, len(tags))
	for i, t := range tags {
		out[i] = resourceTag{t.Key, t.Value}
	}
	return out
}
