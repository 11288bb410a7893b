// Package sdkbaseline is a Baton connector with rows in memory, which waits instead of
// sending requests. The cost of syncing it is the SDK's alone: no connector with the
// same rows and requests can cost less.
package sdkbaseline

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/annotations"
	"github.com/conductorone/baton-sdk/pkg/connectorbuilder"
	"github.com/conductorone/baton-sdk/pkg/types/entitlement"
	"github.com/conductorone/baton-sdk/pkg/types/grant"
	rs "github.com/conductorone/baton-sdk/pkg/types/resource"
)

// A Workspace has the rows of a connector, and the time that requests take.
type Workspace struct {
	// Latency is how long each request takes.
	Latency time.Duration
	// Validate is how many requests it takes to validate.
	Validate int
	// Announce is a URL to request during validation, unless it is empty.
	Announce string
	Types    []Type
}

// A Type is a resource type.
type Type struct {
	ID    string
	Trait int32
	Rows  []Row
	// Lists is the number of lists that the rows come from, PageSize the number of
	// rows that one request returns.
	Lists, PageSize int
	// Static has the slugs of the entitlements of all rows.
	Static []string
	// Asked is set if the SDK asks for the entitlements and grants of each row.
	Asked bool
}

// A Row is a resource with its entitlements and grants.
type Row struct {
	ID, Name, Email string
	Profile         map[string]string
	Entitlements    []Entitlement
	Grants          []Page
}

// An Entitlement is a slug on a resource.
type Entitlement struct{ Type, ID, Slug string }

// A Page is one page of grants.
type Page struct {
	// Request is set if it takes a request.
	Request bool
	// Insert is set if the grants are on resources without rows.
	Insert bool
	Grants []Grant
}

// A Grant gives an entitlement to a principal. If Expands is set, the principal is a
// group, and the grant expands to its users.
type Grant struct {
	Entitlement
	PrincipalType, Principal string
	Expands                  bool
}

// Write writes w to a file.
func (w *Workspace) Write(path string) error {
	f, err := os.Create(path) //nolint:gosec // G304: the caller's file.
	if err != nil {
		return err
	}
	return errors.Join(gob.NewEncoder(f).Encode(w), f.Close())
}

// A Connector serves a workspace from a file, which it reads at its first use.
type Connector struct {
	load func() (*Workspace, error)
}

// New returns a connector for the workspace in a file.
func New(path string) *Connector {
	return &Connector{load: sync.OnceValues(func() (*Workspace, error) {
		f, err := os.Open(path) //nolint:gosec // G304: the caller's file.
		if err != nil {
			return nil, err
		}
		var w Workspace
		return &w, errors.Join(gob.NewDecoder(f).Decode(&w), f.Close())
	})}
}

// Metadata describes the connector.
func (c *Connector) Metadata(context.Context) (*v2.ConnectorMetadata, error) {
	return v2.ConnectorMetadata_builder{DisplayName: "SDK baseline"}.Build(), nil
}

// Validate makes the requests of a validation.
func (c *Connector) Validate(ctx context.Context) (annotations.Annotations, error) {
	w, err := c.load()
	if err != nil {
		return nil, err
	}
	if w.Announce != "" {
		if err = announce(ctx, w.Announce); err != nil {
			return nil, err
		}
	}
	for range w.Validate {
		if err = w.request(ctx); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func announce(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// ResourceSyncers returns one syncer for each type. If the workspace cannot be read, it
// returns none, and Validate returns the error.
func (c *Connector) ResourceSyncers(context.Context) []connectorbuilder.ResourceSyncerV2 {
	w, err := c.load()
	if err != nil {
		return nil
	}
	var all []connectorbuilder.ResourceSyncerV2
	for _, t := range w.Types {
		s := &syncer{w: w, t: t, rows: map[string]*Row{}}
		if t.Asked {
			for i := range t.Rows {
				s.rows[t.Rows[i].ID] = &t.Rows[i]
			}
		}
		all = append(all, s)
	}
	return all
}

func (w *Workspace) request(ctx context.Context) error {
	if w.Latency == 0 {
		return nil
	}
	timer := time.NewTimer(w.Latency)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

type syncer struct {
	w    *Workspace
	t    Type
	rows map[string]*Row
}

var _ connectorbuilder.StaticEntitlementSyncerV2 = (*syncer)(nil)

// ResourceType describes the type.
func (s *syncer) ResourceType(context.Context) *v2.ResourceType {
	t := v2.ResourceType_builder{Id: s.t.ID, DisplayName: s.t.ID, Traits: []v2.ResourceType_Trait{v2.ResourceType_Trait(s.t.Trait)}}.Build()
	if !s.t.Asked {
		t.SetAnnotations(annotations.New(&v2.SkipEntitlementsAndGrants{}))
	}
	return t
}

// List returns one page of rows. All rows are in the first list.
func (s *syncer) List(ctx context.Context, _ *v2.ResourceId, opts rs.SyncOpAttrs) ([]*v2.Resource, *rs.SyncOpResults, error) {
	first, err := position(opts)
	if err != nil {
		return nil, nil, err
	}
	requests := 1
	if first == 0 {
		requests = s.t.Lists
	}
	for range requests {
		if err = s.w.request(ctx); err != nil {
			return nil, nil, err
		}
	}
	end := min(first+s.t.PageSize, len(s.t.Rows))
	var page []*v2.Resource
	for _, row := range s.t.Rows[first:end] {
		r, err := s.resource(row)
		if err != nil {
			return nil, nil, err
		}
		page = append(page, r)
	}
	return page, next(end, len(s.t.Rows)), nil
}

func (s *syncer) resource(row Row) (*v2.Resource, error) {
	profile := make(map[string]any, len(row.Profile))
	for k, v := range row.Profile {
		profile[k] = v
	}
	t := s.ResourceType(context.Background())
	opt := rs.WithResourceProfile(profile)
	switch v2.ResourceType_Trait(s.t.Trait) {
	case v2.ResourceType_TRAIT_USER:
		return rs.NewUserResource(row.Name, t, row.ID, []rs.UserTraitOption{rs.WithUserLogin(row.Email), rs.WithEmail(row.Email, true)}, opt)
	case v2.ResourceType_TRAIT_GROUP:
		return rs.NewGroupResource(row.Name, t, row.ID, nil, opt)
	case v2.ResourceType_TRAIT_ROLE:
		return rs.NewRoleResource(row.Name, t, row.ID, nil, opt)
	case v2.ResourceType_TRAIT_APP:
		return rs.NewAppResource(row.Name, t, row.ID, nil, opt)
	default:
		return nil, fmt.Errorf("sdkbaseline: no resource has the trait %d", s.t.Trait)
	}
}

// StaticEntitlements returns the entitlements of all rows.
func (s *syncer) StaticEntitlements(context.Context, rs.SyncOpAttrs) ([]*v2.Entitlement, *rs.SyncOpResults, error) {
	var all []*v2.Entitlement
	for _, slug := range s.t.Static {
		all = append(all, newEntitlement(nil, slug))
	}
	return all, nil, nil
}

// Entitlements makes a row's one request.
func (s *syncer) Entitlements(ctx context.Context, r *v2.Resource, _ rs.SyncOpAttrs) ([]*v2.Entitlement, *rs.SyncOpResults, error) {
	row, err := s.row(r)
	if err == nil {
		err = s.w.request(ctx)
	}
	if err != nil {
		return nil, nil, err
	}
	var all []*v2.Entitlement
	for _, e := range row.Entitlements {
		all = append(all, newEntitlement(resource(e.Type, e.ID), e.Slug))
	}
	return all, nil, nil
}

// Grants returns one page of the grants of a row.
func (s *syncer) Grants(ctx context.Context, r *v2.Resource, opts rs.SyncOpAttrs) ([]*v2.Grant, *rs.SyncOpResults, error) {
	row, err := s.row(r)
	if err != nil || len(row.Grants) == 0 {
		return nil, nil, err
	}
	n, err := position(opts)
	if err != nil {
		return nil, nil, err
	}
	page := row.Grants[n]
	if page.Request {
		if err = s.w.request(ctx); err != nil {
			return nil, nil, err
		}
	}
	var all []*v2.Grant
	for _, g := range page.Grants {
		var options []grant.GrantOption
		if g.Expands {
			options = append(options, grant.WithAnnotation(v2.GrantExpandable_builder{
				EntitlementIds:  []string{entitlement.NewEntitlementID(resource(g.PrincipalType, g.Principal), "member")},
				Shallow:         true,
				ResourceTypeIds: []string{"user"},
			}.Build()))
		}
		all = append(all, grant.NewGrant(resource(g.Type, g.ID), g.Slug, resource(g.PrincipalType, g.Principal).GetId(), options...))
	}
	res := next(n+1, len(row.Grants))
	if page.Insert {
		res.Annotations = annotations.New(&v2.InsertResourceGrants{})
	}
	return all, res, nil
}

func (s *syncer) row(r *v2.Resource) (*Row, error) {
	row, ok := s.rows[r.GetId().GetResource()]
	if !ok {
		return nil, fmt.Errorf("sdkbaseline: no %s has the id %s", s.t.ID, r.GetId().GetResource())
	}
	return row, nil
}

func resource(typeID, id string) *v2.Resource {
	return v2.Resource_builder{Id: v2.ResourceId_builder{ResourceType: typeID, Resource: id}.Build()}.Build()
}

func newEntitlement(r *v2.Resource, slug string) *v2.Entitlement {
	user := v2.ResourceType_builder{Id: "user", DisplayName: "user"}.Build()
	group := v2.ResourceType_builder{Id: "group", DisplayName: "group"}.Build()
	return entitlement.NewAssignmentEntitlement(r, slug,
		entitlement.WithDisplayName(slug), entitlement.WithDescription(slug), entitlement.WithGrantableTo(user, group))
}

func position(opts rs.SyncOpAttrs) (int, error) {
	if opts.PageToken.Token == "" {
		return 0, nil
	}
	return strconv.Atoi(opts.PageToken.Token)
}

func next(n, total int) *rs.SyncOpResults {
	if n >= total {
		return &rs.SyncOpResults{}
	}
	return &rs.SyncOpResults{NextPageToken: strconv.Itoa(n)}
}
