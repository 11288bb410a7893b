package segmentapi

import (
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/segmentio/public-api-sdk-go/api"
)

// A Client reads and edits one Segment workspace. Make it with [New]. It is
// immutable and safe for concurrent use.
type Client struct {
	Workspace  *WorkspaceService
	Users      *UserService
	Invites    *InviteService
	Groups     *GroupService
	Roles      *RoleService
	Sources    *SourceService
	Warehouses *WarehouseService
	Functions  *FunctionService
	Spaces     *SpaceService
	Labels     *LabelService
	Audit      *AuditService

	raw       *api.APIClient
	transport *transport
	baseURL   string
	pageSize  int
	// smallPages is set once Segment has refused more than smallPageSize rows.
	smallPages *atomic.Bool
	writer     writer
}

// New returns a client for the workspace that token belongs to. It does no
// network I/O; use [WorkspaceService.Get] to find out whether the token works.
// Errors match [ErrInvalidArgument].
func New(token string, opts ...Option) (*Client, error) {
	if token == "" {
		return nil, invalidArgument("the token is empty: create one in Segment under Workspace Settings, Access Management, Tokens")
	}
	if hasControl(token) || strings.ContainsAny(token, " \u00a0") {
		return nil, invalidArgument("the token contains a space or a line break: pass it exactly as Segment shows it")
	}
	s := defaults()
	for _, opt := range opts {
		if err := opt(&s); err != nil {
			return nil, err
		}
	}
	c := &Client{
		transport: newTransport(token, s),
		baseURL:   s.baseURL.String(),
		pageSize:  s.pageSize,

		smallPages: new(atomic.Bool),

		writer: writer{dryRun: s.dryRun, logger: s.logger, settleTime: s.settleTime, shared: sharedBy(s.baseURL.String(), token)},
	}
	return c.assemble(newRoleCache(s.cacheSize, s.cacheTTL)), nil
}

// WithRetry returns a client with another [RetryPolicy] and everything else in
// common with c: token, connections, rate limits, locks and the role cache. So one
// caller can wait longer than another, and both keep to the same rate limit.
// Errors match [ErrInvalidArgument].
func (c *Client) WithRetry(p RetryPolicy) (*Client, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	other := &Client{transport: c.transport.withRetry(p), baseURL: c.baseURL, pageSize: c.pageSize, smallPages: c.smallPages, writer: c.writer}
	return other.assemble(c.Roles.cache), nil
}

// assemble sets the official client and the services of a client that has its
// transport.
func (c *Client) assemble(cache *roleCache) *Client {
	c.raw = api.NewAPIClient(&api.Configuration{
		UserAgent:  c.transport.agent,
		Servers:    api.ServerConfigurations{{URL: c.baseURL}},
		HTTPClient: &http.Client{Transport: c.transport, CheckRedirect: refuseRedirect},
	})
	c.Workspace = &WorkspaceService{c: c}
	c.Users = &UserService{c: c}
	c.Invites = &InviteService{c: c}
	c.Groups = &GroupService{c: c}
	c.Roles = &RoleService{c: c, cache: cache}
	c.Sources = &SourceService{c: c}
	c.Warehouses = &WarehouseService{c: c}
	c.Functions = &FunctionService{c: c}
	c.Spaces = &SpaceService{c: c}
	c.Labels = &LabelService{c: c}
	c.Audit = &AuditService{c: c}
	return c
}

// CloseIdleConnections closes connections that no request is using.
func (c *Client) CloseIdleConnections() { c.transport.closeIdleConnections() }
