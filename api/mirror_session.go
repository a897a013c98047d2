package api

import (
	"context"
	"strconv"

	"sluice"
	"sluice/control"
)

type createTrafficMirrorSessionRequest struct {
	creating
	NetworkInterfaceID *string `query:"NetworkInterfaceId" required:"true"`
	TargetID           *string `query:"TrafficMirrorTargetId" required:"true"`
	FilterID           *string `query:"TrafficMirrorFilterId" required:"true"`
	PacketLength       *int32  `query:"PacketLength"`
	SessionNumber      *int32  `query:"SessionNumber" required:"true"`
	VirtualNetworkID   *int32  `query:"VirtualNetworkId"`
	Description        *string `query:"Description"`
}

type createTrafficMirrorSessionResponse struct {
	Session     trafficMirrorSession `xml:"trafficMirrorSession"`
	ClientToken string               `xml:"clientToken"`
}

type modifyTrafficMirrorSessionRequest struct {
	ID               *string  `query:"TrafficMirrorSessionId" required:"true"`
	TargetID         *string  `query:"TrafficMirrorTargetId"`
	FilterID         *string  `query:"TrafficMirrorFilterId"`
	PacketLength     *int32   `query:"PacketLength"`
	SessionNumber    *int32   `query:"SessionNumber"`
	VirtualNetworkID *int32   `query:"VirtualNetworkId"`
	Description      *string  `query:"Description"`
	RemoveFields     []string `query:"RemoveField"`
	DryRun           *bool    `query:"DryRun"`
}

type modifyTrafficMirrorSessionResponse struct {
	Session trafficMirrorSession `xml:"trafficMirrorSession"`
}

type describeTrafficMirrorSessionsRequest struct {
	IDs []string `query:"TrafficMirrorSessionId"`
	pagedRead
}

type describeTrafficMirrorSessionsResponse struct {
	Sessions  []trafficMirrorSession `xml:"trafficMirrorSessionSet"`
	NextToken *string                `xml:"nextToken"`
}

type deleteTrafficMirrorSessionRequest struct {
	ID     *string `query:"TrafficMirrorSessionId" required:"true"`
	DryRun *bool   `query:"DryRun"`
}

type deleteTrafficMirrorSessionResponse struct {
	ID string `xml:"trafficMirrorSessionId"`
}

// trafficMirrorSession is the TrafficMirrorSession structure. Without packetLength
// whole packets are mirrored.
type trafficMirrorSession struct {
	ID                 string        `xml:"trafficMirrorSessionId"`
	TargetID           string        `xml:"trafficMirrorTargetId"`
	FilterID           string        `xml:"trafficMirrorFilterId"`
	NetworkInterfaceID string        `xml:"networkInterfaceId"`
	OwnerID            string        `xml:"ownerId"`
	PacketLength       *int32        `xml:"packetLength"`
	SessionNumber      int32         `xml:"sessionNumber"`
	VirtualNetworkID   int32         `xml:"virtualNetworkId"`
	Description        string        `xml:"description"`
	Tags               []resourceTag `xml:"tagSet"`
}

func showSession(s sluice.TrafficMirrorSession) trafficMirrorSession {
	out := trafficMirrorSession{
		ID: s.ID, TargetID: s.TargetID, FilterID: s.FilterID, NetworkInterfaceID: s.NetworkInterfaceID, OwnerID: s.OwnerID,
		SessionNumber: s.SessionNumber, VirtualNetworkID: s.VirtualNetworkID, Description: s.Description, Tags: showResourceTags(s.Tags),
	}
	if s.PacketLength > 0 {
		out.PacketLength = &s.PacketLength
	}
	return out
}

func createTrafficMirrorSession(ctx context.Context, c *call, in *createTrafficMirrorSessionRequest) (*createTrafficMirrorSessionResponse, error) {
	creation, err := in.creation(sluice.ResourceMirrorSession)
	if err != nil {
		return nil, err
	}
	s, err := c.backend.CreateTrafficMirrorSession(ctx, control.CreateTrafficMirrorSessionInput{
		EC2Creation:        creation,
		NetworkInterfaceID: *in.NetworkInterfaceID,
		MirrorSessionFields: control.MirrorSessionFields{
			TargetID: in.TargetID, FilterID: in.FilterID, SessionNumber: in.SessionNumber,
			PacketLength: in.PacketLength, VirtualNetworkID: in.VirtualNetworkID, Description: in.Description,
		},
	})
	return &createTrafficMirrorSessionResponse{showSession(s), creation.ClientToken}, err
}

func modifyTrafficMirrorSession(ctx context.Context, c *call, in *modifyTrafficMirrorSessionRequest) (*modifyTrafficMirrorSessionResponse, error) {
	s, err := c.backend.ModifyTrafficMirrorSession(ctx, control.ModifyTrafficMirrorSessionInput{
		ID:     *in.ID,
		DryRun: value(in.DryRun),
		MirrorSessionFields: control.MirrorSessionFields{
			TargetID: in.TargetID, FilterID: in.FilterID, SessionNumber: in.SessionNumber,
			PacketLength: in.PacketLength, VirtualNetworkID: in.VirtualNetworkID, Description: in.Description,
		},
		RemoveFields: in.RemoveFields,
	})
	return &modifyTrafficMirrorSessionResponse{showSession(s)}, err
}

func describeTrafficMirrorSessions(ctx context.Context, c *call, in *describeTrafficMirrorSessionsRequest) (*describeTrafficMirrorSessionsResponse, error) {
	sessions, err := c.backend.TrafficMirrorSessions(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]trafficMirrorSession, len(sessions))
	for i, s := range sessions {
		all[i] = showSession(s)
	}
	page, next, err := sessionListing().list(c, in.IDs, in.pagedRead, all)
	if err != nil {
		return nil, err
	}
	return &describeTrafficMirrorSessionsResponse{page, next}, nil
}

func sessionListing() listing[trafficMirrorSession] {
	type s = trafficMirrorSession
	return listing[s]{
		parameter: "trafficMirrorSessionId",
		id:        func(v s) string { return v.ID },
		tags:      func(v s) []sluice.Tag { return tagsShown(v.Tags) },
		maxPage:   1000,
		exclusive: true,
		missing:   noSuch(sluice.ResourceMirrorSession),
		filters: attributes[s]{
			"description":               one(func(v s) string { return v.Description }),
			"network-interface-id":      one(func(v s) string { return v.NetworkInterfaceID }),
			"owner-id":                  one(func(v s) string { return v.OwnerID }),
			"packet-length":             one(func(v s) string { return number(v.PacketLength) }),
			"session-number":            one(func(v s) string { return strconv.Itoa(int(v.SessionNumber)) }),
			"traffic-mirror-filter-id":  one(func(v s) string { return v.FilterID }),
			"traffic-mirror-session-id": one(func(v s) string { return v.ID }),
			"traffic-mirror-target-id":  one(func(v s) string { return v.TargetID }),
			"virtual-network-id":        one(func(v s) string { return strconv.Itoa(int(v.VirtualNetworkID)) }),
		},
	}
}

func deleteTrafficMirrorSession(ctx context.Context, c *call, in *deleteTrafficMirrorSessionRequest) (*deleteTrafficMirrorSessionResponse, error) {
	return &deleteTrafficMirrorSessionResponse{*in.ID}, c.backend.DeleteTrafficMirrorSession(ctx, *in.ID, value(in.DryRun))
}
