// Package connector reads a Segment workspace into Baton: users, pending
// invites, groups and roles, and who holds which role on what. It also writes:
// it grants and revokes roles and memberships, sends and withdraws invites,
// removes users, makes and deletes groups. Package segmentapi makes the writes and
// documents what each changes and leaves alone.
//
// Embed it with [New] and package inprocess. The connector keeps what it learns
// from lists in the session store of the sync, so that a sync may span processes.
// Give it a store: without one it reads every user and group twice, asks for the
// roles once for each type that roles are held on, and cannot tell which resources
// and invites the lists left out, nor that an invited person or a pending member of
// a group has joined. A role on a resource that was left out then has a grant, but no
// row for the resource and the entitlement. A targeted sync of a user lacks what groups
// give, and that a token does not see permissions goes unnoticed.
package connector

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/annotations"
	"github.com/conductorone/baton-sdk/pkg/connectorbuilder"
	"github.com/conductorone/baton-sdk/pkg/uhttp"
	"golang.org/x/sync/singleflight"

	"github.com/baton-segment/baton-segment/connector/internal/syncstate"
	"github.com/baton-segment/baton-segment/segmentapi"
)

var (
	// In a sync the SDK waits and tries again, from a checkpoint. The client waits
	// out short limits only.
	syncRetry = segmentapi.RetryPolicy{MaxAttempts: 3, MaxWait: 10 * time.Second}
	// In other calls nothing but the client waits. This outlasts a window of the
	// rate limit.
	patientRetry = segmentapi.RetryPolicy{MaxAttempts: 5, MaxWait: 65 * time.Second}
)

// Workers is how many requests a sync should have under way. That many are needed
// to use 6000 requests a minute of 320 ms each. Fewer cost more processor time,
// because the values that workers store at the same time go to the file in one
// call. Whatever the number, the rate limit is kept.
const Workers = 32

// Options configure a [Connector]. Only Token is required.
type Options struct {
	// Token is a Segment Public API token. It belongs to one workspace in one
	// region and sees what its role allows: Workspace Owner sees everything.
	Token string
	// Region is where the workspace lives, "us" or "eu", or as Segment's own pages write
	// it: see [segmentapi.Region]. Empty means "us".
	Region string
	// BaseURL replaces the region's endpoint, for tests. It must be https, or
	// http to a loopback address.
	BaseURL string
	// PageSize is how many rows a list request asks for, 1 to 1000. Zero means
	// 1000, which costs least.
	PageSize int
	// DryRun makes changes read, check and log what they would do, and change nothing.
	// They succeed, so do not set it where success means that access has changed.
	DryRun bool
	// Version is the program's, for the User-Agent header. Empty means "dev".
	Version string
}

// A Connector serves one Segment workspace to Baton. Make it with [New]; the
// zero value can only describe itself. It is safe for concurrent use.
type Connector struct {
	// Both share one rate limiter.
	client, patient *segmentapi.Client
	// The workspace that the token belongs to, once it is known.
	workspace struct {
		id     atomic.Pointer[string]
		asking singleflight.Group
	}
	// tracker is what this process has in memory of the state of a sync.
	tracker syncstate.Tracker
	// groups are being read for the users that are in them, in a targeted sync.
	groups singleflight.Group
	// references are for the SDK's questions in a targeted sync.
	references references
	// outage ends syncs that cannot succeed, and progress is for the log. No row
	// depends on them.
	outage   outage
	progress progress
}

var _ connectorbuilder.ConnectorBuilderV2 = (*Connector)(nil)

// New checks the options and returns a connector. It does no I/O: whether the
// token works is for [Connector.Validate] to find out. Proxy settings come
// from the environment, the timeout of a request from the SDK's context.
func New(ctx context.Context, opts Options) (*Connector, error) {
	if opts.Version == "" {
		opts.Version = "dev"
	}
	agent := "baton-segment/" + opts.Version
	// Leave the SDK's HTTP log off: it repeats anything a server sends that is not
	// HTTP, which may be the token. The library logs requests.
	hc, err := uhttp.NewClient(ctx, uhttp.WithUserAgent(agent))
	if err != nil {
		return nil, fmt.Errorf("making the HTTP client: %w", err)
	}
	hc.Transport = &transportPool{idle: []http.RoundTripper{hc.Transport}, open: func() (http.RoundTripper, error) {
		return uhttp.NewTransport(context.WithoutCancel(ctx), uhttp.WithUserAgent(agent))
	}}
	options := []segmentapi.Option{
		segmentapi.WithHTTPClient(hc),
		segmentapi.WithUserAgent(agent),
		segmentapi.WithRetry(syncRetry),
		segmentapi.WithLogger(slog.New(auditLog{})),
	}
	if opts.Region != "" {
		options = append(options, segmentapi.WithRegion(segmentapi.Region(opts.Region)))
	}
	if opts.BaseURL != "" {
		options = append(options, segmentapi.WithBaseURL(opts.BaseURL))
	}
	if opts.PageSize != 0 {
		options = append(options, segmentapi.WithPageSize(opts.PageSize))
	}
	if opts.DryRun {
		options = append(options, segmentapi.WithDryRun())
	}
	// A token read from a file tends to end in a line break.
	client, err := segmentapi.New(strings.TrimSpace(opts.Token), options...)
	if err != nil {
		return nil, err
	}
	patient, err := client.WithRetry(patientRetry)
	if err != nil {
		return nil, err
	}
	return &Connector{client: client, patient: patient}, nil
}

// Metadata describes the connector.
func (c *Connector) Metadata(context.Context) (*v2.ConnectorMetadata, error) {
	return v2.ConnectorMetadata_builder{
		DisplayName:           "Twilio Segment",
		Description:           "Users, invites, groups and roles of a Twilio Segment workspace, and who holds which role on what: reads them, grants and revokes, invites and removes.",
		AccountCreationSchema: accountSchema(),
	}.Build(), nil
}

// Validate asks for the workspace, one user and one role: what every sync
// needs, and the three things that a token may not be allowed to read. It keeps the
// id of the workspace, which each row has.
func (c *Connector) Validate(ctx context.Context) (annotations.Annotations, error) {
	if _, err := c.askWorkspace(ctx, c.client); err != nil {
		return nil, err
	}
	one := segmentapi.ListOptions{Count: 1}
	if _, err := ask(ctx, c, "listing users", func(ctx context.Context) (*segmentapi.Page[segmentapi.User], error) {
		return c.client.Users.List(ctx, one)
	}); err != nil {
		return nil, err
	}
	_, err := ask(ctx, c, "listing roles", func(ctx context.Context) (*segmentapi.Page[segmentapi.Role], error) {
		return c.client.Roles.List(ctx, one)
	})
	return nil, err
}

// ResourceSyncers returns one syncer for each resource type.
func (c *Connector) ResourceSyncers(context.Context) []connectorbuilder.ResourceSyncerV2 {
	syncers := make([]connectorbuilder.ResourceSyncerV2, len(kinds))
	for i, k := range kinds {
		syncers[i] = k.syncer(c, k)
	}
	return syncers
}
