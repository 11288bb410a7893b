package connector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/annotations"
	"github.com/conductorone/baton-sdk/pkg/types/grant"
	rs "github.com/conductorone/baton-sdk/pkg/types/resource"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baton-segment/baton-segment/connector/internal/syncstate"
	"github.com/baton-segment/baton-segment/segmentapi"
	"github.com/baton-segment/baton-segment/segmentapi/access"
)

// Users and groups are subjects: both hold permissions, which only the request
// for a single one returns.

// A subject is what a sync knows of a user or a group.
type subject struct {
	// Missing is the error of the request that did not find it, if it has gone since
	// it was listed. It stays gone for the rest of the sync, because its rows would be
	// incomplete.
	Missing string `json:"missing,omitempty"`
	// Permissions are what it held, if it was found before.
	Permissions []segmentapi.Permission `json:"permissions,omitempty"`
	// Groups are the ids of the groups that a user is in, in a targeted sync.
	Groups []string `json:"groups,omitempty"`
}

func (s subject) gone() bool { return s.Missing != "" }

// A detailFunc reads the permissions of one subject.
type detailFunc func(ctx context.Context, id string) ([]segmentapi.Permission, error)

// keepListed keeps the permissions in the rows of a list, which saves the
// requests for single subjects. Segment is not known to send any. A row without
// permissions may mean that the list leaves them out, so it does not count: asking
// is safer than hiding access.
func keepListed[T any](ctx context.Context, c *Connector, s syncstate.Sync, k *kind, rows []T, of func(T) (string, []segmentapi.Permission)) error {
	known := map[string]subject{}
	for _, row := range rows {
		id, permissions := of(row)
		if len(permissions) == 0 {
			continue
		}
		known[id] = subject{Permissions: permissions}
		if err := noteUnknown(ctx, s, resourceID(k.id, id), permissions); err != nil {
			return err
		}
	}
	c.progress.add(s.ID(), k.id, len(known))
	return syncstate.KeepSubjects(ctx, s, k.id, known)
}

func keepSubject(ctx context.Context, s syncstate.Sync, id *v2.ResourceId, sub subject) error {
	return syncstate.KeepSubjects(ctx, s, id.GetResourceType(), map[string]subject{id.GetResource(): sub})
}

func knownSubject(ctx context.Context, s syncstate.Sync, id *v2.ResourceId) (subject, bool, error) {
	return syncstate.Subject[subject](ctx, s, id.GetResourceType(), id.GetResource())
}

// subject returns what a user or group holds: from the state of the sync, else
// from the API. One that has gone is counted again, so that a sync that too many
// have gone from fails on each of its runs.
func (c *Connector) subject(ctx context.Context, s syncstate.Sync, id *v2.ResourceId, read detailFunc) (subject, error) {
	sub, known, err := knownSubject(ctx, s, id)
	switch {
	case err != nil:
		return subject{}, err
	case sub.gone():
		return sub, countGone(ctx, s, id, sub)
	case known:
		return sub, nil
	}
	what := fmt.Sprintf("reading %s %s", id.GetResourceType(), id.GetResource())
	permissions, missing, err := askTwice(ctx, c, what, func(ctx context.Context) ([]segmentapi.Permission, error) { return read(ctx, id.GetResource()) })
	if err != nil {
		return subject{}, err
	}
	c.progress.answered(ctx, s.ID(), id.GetResourceType(), true)
	if missing != nil {
		return vanish(ctx, s, id, subject{}, missing)
	}
	if err = c.readSpaceNames(ctx, s, permissions); err != nil {
		return subject{}, err
	}
	if err = noteUnknown(ctx, s, id, permissions); err != nil {
		return subject{}, err
	}
	sub = subject{Permissions: permissions}
	if id.GetResourceType() == typeUser {
		if sub.Groups, err = c.groupsInTargetedSync(ctx, s, id.GetResource()); err != nil {
			return subject{}, err
		}
	}
	return sub, keepSubject(ctx, s, id, sub)
}

// recheckAfter is how long to wait before asking again for what Segment did not
// find.
const recheckAfter = time.Second

// askTwice runs a request below a user or group. If Segment does not find it,
// askTwice asks once more a second later, since an answer may come from a replica
// that lags. If that one is not found either, it returns that error as missing:
// the user or group has gone since it was listed.
func askTwice[T any](ctx context.Context, c *Connector, what string, do func(context.Context) (T, error)) (T, error, error) {
	answer, err := ask(ctx, c, what, do)
	if !notFound(err) {
		return answer, nil, err
	}
	if err = waitForRecheck(ctx); err != nil {
		return answer, nil, err
	}
	if answer, err = ask(ctx, c, what, do); notFound(err) {
		return answer, err, nil
	}
	return answer, nil, err
}

// waitForRecheck waits until it is time to ask again, or until ctx ends.
func waitForRecheck(ctx context.Context) error {
	timer := time.NewTimer(recheckAfter)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
}

// vanish records that a subject has gone since it was listed, and counts it.
func vanish(ctx context.Context, s syncstate.Sync, id *v2.ResourceId, known subject, missing error) (subject, error) {
	known.Missing = missing.Error()
	if err := keepSubject(ctx, s, id, known); err != nil {
		return subject{}, err
	}
	return known, countGone(ctx, s, id, known)
}

// countGone counts a subject that has gone, once in a sync, and fails if too many
// have.
func countGone(ctx context.Context, s syncstate.Sync, id *v2.ResourceId, sub subject) error {
	gone, first, err := s.AddGone(ctx, id.GetResourceType(), id.GetResource())
	if err != nil {
		return err
	}
	if first {
		logLeftOut(ctx, s, whyVanished, id.GetResourceType()+"/"+id.GetResource(), 1)
	}
	listed, err := listedSubjects(ctx, s)
	if err != nil {
		return err
	}
	if access.TooManyGone(gone, listed) {
		return status.Errorf(codes.FailedPrecondition,
			"%d of %d users and groups were not found after they were listed, so the file would be incomplete: start again with a new file (the last: %s)",
			gone, listed, sub.Missing)
	}
	return nil
}

// listedSubjects is how many users and groups the lists had. Without a session
// store, that is how many this process has listed.
func listedSubjects(ctx context.Context, s syncstate.Sync) (int, error) {
	known, err := s.Marks(ctx, syncstate.Ended(typeUser), syncstate.Ended(typeGroup))
	if err != nil {
		return 0, err
	}
	if usable, err := s.Usable(ctx); usable || err != nil {
		return known[syncstate.Ended(typeUser)] + known[syncstate.Ended(typeGroup)], err
	}
	return s.Counted(typeUser) + s.Counted(typeGroup), nil
}

// A subjectReader is what differs between users and groups in reading what they
// hold.
type subjectReader struct {
	detail detailFunc
	// memberOf is the type in which the subject is a member, and membership the
	// entitlement to be one.
	memberOf   string
	membership func(workspace string) *v2.Entitlement
}

// entitlements returns the entitlements that are known from this subject's
// permissions alone. In a targeted sync, which does not ask for static
// entitlements, it returns the subject's membership as well.
//
// Without a session store the detail request is made once more for the grants: a
// grant on an entitlement that has no row would be overlooked.
func (c *Connector) entitlements(ctx context.Context, id *v2.ResourceId, opts rs.SyncOpAttrs, reader subjectReader) ([]*v2.Entitlement, *rs.SyncOpResults, error) {
	token, err := parsePageToken(opts.PageToken.Token)
	if err != nil {
		return nil, nil, err
	}
	s, workspace, err := c.openSync(ctx, opts)
	if err != nil {
		return nil, nil, err
	}
	sub, err := c.subject(ctx, s, id, reader.detail)
	if err != nil || sub.gone() {
		return nil, nil, err
	}
	holders, err := c.holders(ctx, s, id, sub)
	if err != nil {
		return nil, nil, err
	}
	if err = noteOwner(ctx, s, id, holders[0].holdings); err != nil {
		return nil, nil, err
	}
	rows, err := nonStaticEntitlements(workspace, holders)
	if err != nil {
		return nil, nil, err
	}
	static, err := hasStatic(ctx, s, reader.memberOf)
	if err != nil {
		return nil, nil, err
	}
	if !static {
		rows = append(rows, reader.membership(workspace))
	}
	for _, group := range holders[1:] {
		rows = append(rows, kindOf(typeGroup).only.of(v2.Resource_builder{Id: group.id}.Build()))
	}
	rows, next, err := paginate(id, rows, token)
	return rows, results(next), err
}

// nonStaticEntitlements returns the entitlements that holders have and that not all
// resources of the type have, each once.
func nonStaticEntitlements(workspace string, holders []holder) ([]*v2.Entitlement, error) {
	var rows []*v2.Entitlement
	seen := map[entitlementID]bool{}
	for _, by := range holders {
		for _, h := range by.holdings {
			if h.Foretold || seen[h.entitlementID()] {
				continue
			}
			seen[h.entitlementID()] = true
			row, err := h.entitlement(workspace)
			if err != nil {
				return nil, err
			}
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// hasStatic reports whether all rows of a type have their static entitlements.
// Without a session store that is taken for granted, as in a full sync.
func hasStatic(ctx context.Context, s syncstate.Sync, typeID string) (bool, error) {
	_, static, err := s.Marked(ctx, syncstate.Static(typeID))
	if static || err != nil {
		return static, err
	}
	usable, err := s.Usable(ctx)
	return !usable, err
}

// maxRows is how many rows a page of entitlements or grants has at most. A gRPC
// message holds 4 MiB, and a user may hold roles on thousands of resources.
const maxRows = 1000

// paginate returns the rows of one page, and the token of the next page. It refuses
// to go on if the number of rows has changed, as it may without a session store.
func paginate[T any](id *v2.ResourceId, rows []T, token pageToken) ([]T, *pageToken, error) {
	all := len(rows)
	if token.Rows > 0 && all != token.Of {
		return nil, nil, status.Errorf(codes.FailedPrecondition, "%s %s had %d rows when the first of them were read, and has %d now: run the sync again",
			id.GetResourceType(), id.GetResource(), token.Of, all)
	}
	rows = rows[min(token.Rows, all):]
	if len(rows) <= maxRows {
		return rows, nil, nil
	}
	return rows[:maxRows], &pageToken{Phase: token.Phase, Rows: token.Rows + maxRows, Of: all}, nil
}

// phaseUnlisted is the page of grants on resources that no list returned.
const phaseUnlisted = "unlisted"

// subjectGrants are the grants that the calls for a user or group return.
type subjectGrants struct {
	id        *v2.ResourceId
	workspace string
	held      []heldGrant
	// memberships are further grants.
	memberships []*v2.Grant
}

// A heldGrant is a grant of a role.
type heldGrant struct {
	holding
	to *v2.ResourceId
	// sources are the entitlements that it comes from, as in grant.sources.
	sources []string
}

// inherited reports whether the holder has it through groups only.
func (g heldGrant) inherited() bool {
	return len(g.sources) > 0 && !slices.Contains(g.sources, g.entitlementID().String())
}

// row returns the grant on r.
func (g heldGrant) row(r *v2.Resource) *v2.Grant {
	var options []grant.GrantOption
	if g.to.GetResourceType() == typeGroup {
		options = append(options, expandsTo(g.to))
	}
	if !kindOf(g.Type).grantable || g.inherited() {
		options = append(options, grant.WithAnnotation(&v2.GrantImmutable{}))
	}
	row := grant.NewGrant(r, g.slug(), g.to, options...)
	if len(g.sources) > 0 {
		sources := map[string]*v2.GrantSources_GrantSource{}
		for _, source := range g.sources {
			sources[source] = &v2.GrantSources_GrantSource{IsDirect: true}
		}
		row.SetSources(v2.GrantSources_builder{Sources: sources}.Build())
	}
	return row
}

// page returns one page of grants: those on listed resources and the memberships
// first, then those on resources that no list returned. Only the latter carry their
// resources.
func (g subjectGrants) page(token pageToken) ([]*v2.Grant, *rs.SyncOpResults, error) {
	var ordinary, inserted []*v2.Grant
	for _, held := range g.held {
		if held.Listed {
			ordinary = append(ordinary, held.row(stub(held.Type, held.ID)))
			continue
		}
		r, err := held.unlistedResource(g.workspace)
		if err != nil {
			return nil, nil, err
		}
		inserted = append(inserted, held.row(r))
	}
	if token.Phase == phaseUnlisted {
		rows, next, err := paginate(g.id, inserted, token)
		return rows, insertResources(next), err
	}
	rows, next, err := paginate(g.id, append(ordinary, g.memberships...), token)
	if next == nil && len(inserted) > 0 {
		next = &pageToken{Phase: phaseUnlisted}
	}
	return rows, results(next), err
}

// insertResources marks a page of grants whose resources are to be stored as
// well. It must hold no other grants: their rows would be overwritten.
func insertResources(next *pageToken) *rs.SyncOpResults {
	res := results(next)
	res.Annotations = annotations.New(&v2.InsertResourceGrants{})
	return res
}

// newGrant names the resource by its id alone: its own row says the rest.
func newGrant(typeID, id, slug string, principal *v2.ResourceId, opts ...grant.GrantOption) *v2.Grant {
	return grant.NewGrant(stub(typeID, id), slug, principal, opts...)
}

// notFound reports that Segment does not find a user or group, or what is below
// it. An answer that is not Segment's own proves nothing of them.
func notFound(err error) bool {
	var e *segmentapi.Error
	answered := errors.As(err, &e) && e.StatusCode != 0
	return errors.Is(err, segmentapi.ErrNotFound) && (!answered || segmentapi.FromSegment(err))
}
