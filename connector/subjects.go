package connector

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/annotations"
	"github.com/conductorone/baton-sdk/pkg/types/entitlement"
	"github.com/conductorone/baton-sdk/pkg/types/grant"
	rs "github.com/conductorone/baton-sdk/pkg/types/resource"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baton-segment/baton-segment/segmentapi"
)

// Users and groups are Segment's subjects: both hold permissions, which only
// the request for a single one returns.

// phaseUnlisted is the page of grants on resources that no list returned.
const phaseUnlisted = "unlisted"

// A detail reads the permissions of one subject.
type detail func(ctx context.Context, id string) ([]segmentapi.Permission, error)

// remember keeps what subjects hold, by type and id.
func (s session) remember(ctx context.Context, subjects map[string]subject) error {
	unknown := map[string]int{}
	for key, sub := range subjects {
		_, kinds := targetsOf(sub.Permissions)
		for kind, n := range kinds {
			unknown[unknownKey(kind, key)] = n
		}
	}
	if err := s.noteUnknown(ctx, unknown); err != nil {
		return err
	}
	return s.merger.set(ctx, s, subjects)
}

// rememberListed keeps the permissions in the rows of a list, which saves the
// detail requests. Segment is not known to send any. None at all may as well
// mean that the list does not say, and to ask is safer than to hide access.
func rememberListed[T any](ctx context.Context, s session, typeID string, rows []T, of func(T) (string, []segmentapi.Permission)) error {
	reading, err := s.reading(ctx, typeID)
	if err != nil {
		return err
	}
	known := map[string]subject{}
	for _, row := range rows {
		if id, permissions := of(row); len(permissions) > 0 {
			known[keyOf(typeID, id)] = subject{Reading: reading, Permissions: permissions}
		}
	}
	if len(known) > 0 {
		s.fresh.forget()
	}
	s.tally.add(s.syncID, partProgress, len(known))
	return s.remember(ctx, known)
}

// known returns what the session knows of a user or group.
func (s session) known(ctx context.Context, id *v2.ResourceId) (subject, bool, error) {
	if err := s.expect(ctx, id.GetResourceType()); err != nil {
		return subject{}, false, err
	}
	reading, err := s.reading(ctx, id.GetResourceType())
	if err != nil {
		return subject{}, false, err
	}
	sub, ok, err := sessionGet[subject](ctx, s, partSubject, keyOf(id.GetResourceType(), id.GetResource()))
	if !ok || sub.Reading != reading {
		return subject{}, false, err
	}
	return sub, true, err
}

// expect asks in one call for the facts that most subjects of a type need.
func (s session) expect(ctx context.Context, typeID string, more ...string) error {
	_, err := s.learn(ctx, append(more, keyOf(typeID, factReading),
		keyOf(typeRole, factReading), keyOf(typeRole, factRows), keyOf(typeRole, factStatic))...)
	return err
}

// subject returns what a user or group holds: from the session, else from the
// API. One that has gone meanwhile holds nothing; that it has gone is asked
// again each time, because the answer costs all its rows.
func (c *Connector) subject(ctx context.Context, s session, id *v2.ResourceId, read detail) (subject, error) {
	known, ok, err := s.known(ctx, id)
	if err != nil || (ok && !known.Vanished) {
		return known, err
	}
	return c.askSubject(ctx, s, id, read, ok)
}

// askSubject asks the API what a user or group holds, and keeps it. It was gone
// if that is what the session says.
func (c *Connector) askSubject(ctx context.Context, s session, id *v2.ResourceId, read detail, wasGone bool) (subject, error) {
	permissions, err := ask(ctx, c, fmt.Sprintf("reading %s %s", id.GetResourceType(), id.GetResource()),
		func(ctx context.Context) ([]segmentapi.Permission, error) { return read(ctx, id.GetResource()) })
	gone := err
	if err != nil && !vanished(err) {
		return subject{}, err
	}
	if err = s.answered(ctx, true); err != nil {
		return subject{}, err
	}
	if err = c.learnSpaces(ctx, s, permissions); err != nil {
		return subject{}, err
	}
	found := subject{Vanished: gone != nil, Back: wasGone && gone == nil, Permissions: permissions}
	if found, err = s.keep(ctx, id, found); err != nil {
		return subject{}, err
	}
	switch {
	case found.Vanished:
		err = s.vanish(ctx, id, gone)
	case found.Back:
		// The members of a group and of the workspace are granted what nobody else
		// has asked for.
		in := map[string]string{typeUser: typeWorkspace, typeGroup: typeGroup}[id.GetResourceType()]
		if static, staticErr := s.hasStatic(ctx, in); !static || staticErr != nil {
			return subject{}, cmp.Or(staticErr, isBack(id, slugMember))
		}
		_, err = sessionSet(ctx, s, partVanished, map[string]int64{keyOf(id.GetResourceType(), id.GetResource()): -1})
	}
	return found, err
}

// isBack is the error of a subject that has rows on an entitlement that has
// none, because it had gone when its entitlements were read.
func isBack(id *v2.ResourceId, lacks string) error {
	return status.Errorf(codes.FailedPrecondition,
		"%s %s had gone when its entitlements were read, and is back: the entitlement %s would be missing, so start afresh, with a new file",
		id.GetResourceType(), id.GetResource(), lacks)
}

// keep remembers a subject as of the present reading of its list.
func (s session) keep(ctx context.Context, id *v2.ResourceId, sub subject) (subject, error) {
	reading, err := s.reading(ctx, id.GetResourceType())
	if err != nil {
		return subject{}, err
	}
	sub.Reading = reading
	return sub, s.remember(ctx, map[string]subject{keyOf(id.GetResourceType(), id.GetResource()): sub})
}

// vanish counts a subject that has gone since it was listed. A few are normal
// in a long sync. More than one in a hundred mean that something else is
// wrong; a single one does not, however small the workspace.
func (s session) vanish(ctx context.Context, id *v2.ResourceId, cause error) error {
	missing, listed, err := s.gone(ctx, id)
	if err != nil {
		return err
	}
	if listed > 0 && missing > 1 && missing*100 > listed {
		return status.Errorf(codes.FailedPrecondition,
			"%d of %d users and groups have gone since they were listed: too much would be missing, so start afresh, with a new file (the last: %v)",
			missing, listed, cause)
	}
	return nil
}

// gone notes that a subject has gone and returns how many have, of how many
// that were listed.
func (s session) gone(ctx context.Context, id *v2.ResourceId) (int, int, error) {
	key := keyOf(id.GetResourceType(), id.GetResource())
	if ok, err := s.usable(ctx); err != nil {
		return 0, 0, err
	} else if !ok {
		missing, first := s.tally.gone(s.syncID, key)
		if first {
			s.leftOut(ctx, whyVanished, key, 1)
		}
		return missing, s.tally.count(s.syncID, typeUser) + s.tally.count(s.syncID, typeGroup), nil
	}
	readings := map[string]int64{}
	listed := 0
	for _, typeID := range []string{typeUser, typeGroup} {
		var err error
		if readings[typeID], err = s.reading(ctx, typeID); err != nil {
			return 0, 0, err
		}
		rows, _, err := s.rows(ctx, typeID)
		if err != nil {
			return 0, 0, err
		}
		listed += rows
	}
	gone, err := sessionAll[int64](ctx, s, partVanished)
	if err != nil {
		return 0, 0, err
	}
	reading := readings[id.GetResourceType()]
	if since, counted := gone[key]; !counted || since != reading {
		s.leftOut(ctx, whyVanished, key, 1)
		if _, err = sessionSet(ctx, s, partVanished, map[string]int64{key: reading}); err != nil {
			return 0, 0, err
		}
		// Another worker may have added one as well.
		if gone, err = sessionAll[int64](ctx, s, partVanished); err != nil {
			return 0, 0, err
		}
	}
	missing := 0
	for other, since := range gone {
		typeID, _, _ := strings.Cut(other, "/")
		if since == readings[typeID] {
			missing++
		}
	}
	return missing, listed, nil
}

// entitlements makes the detail request of a subject and returns the rows that
// no list foretold, and its membership, the static entitlement of a type, where
// nobody asked for that. Without a session store the request is made once more
// for the grants: a grant on an entitlement that has no row would be
// overlooked.
func (c *Connector) entitlements(
	ctx context.Context, id *v2.ResourceId, opts rs.SyncOpAttrs, read detail, typeID string, membership memberOf,
) ([]*v2.Entitlement, *rs.SyncOpResults, error) {
	rows, next, err := c.entitlementsOnce(ctx, id, opts, read, typeID, membership)
	if err != nil { // The SDK may ask again.
		c.fresh.forget()
	}
	return rows, next, err
}

// A memberOf returns the entitlement to be a member of what subjects of a type
// are in.
type memberOf func(context.Context, session) (*v2.Entitlement, error)

func (c *Connector) entitlementsOnce(
	ctx context.Context, id *v2.ResourceId, opts rs.SyncOpAttrs, read detail, typeID string, membership memberOf,
) ([]*v2.Entitlement, *rs.SyncOpResults, error) {
	token, err := parsePageToken(opts.PageToken.Token)
	if err != nil {
		return nil, nil, err
	}
	s := c.session(opts)
	if err = s.expect(ctx, id.GetResourceType(), keyOf(typeID, factStatic)); err != nil {
		return nil, nil, err
	}
	var sub subject
	if reading, readErr := s.reading(ctx, id.GetResourceType()); readErr != nil {
		return nil, nil, readErr
	} else if opts.PageToken.Token == "" && c.sole && c.fresh.has(s.syncID, id.GetResourceType(), reading) {
		sub, err = c.askSubject(ctx, s, id, read, false)
	} else {
		sub, err = c.subject(ctx, s, id, read)
	}
	if err != nil || sub.Vanished {
		return nil, nil, err
	}
	placed, err := s.place(ctx, sub.Permissions)
	if err != nil {
		return nil, nil, err
	}
	if sub.Back { // It has its entitlements now.
		sub.Back = false
		if _, err = s.keep(ctx, id, sub); err != nil {
			return nil, nil, err
		}
	}
	var rows []*v2.Entitlement
	for _, p := range placed {
		if p.foretold {
			continue
		}
		row, rowErr := p.entitlement()
		if rowErr != nil {
			return nil, nil, rowErr
		}
		rows = append(rows, row)
	}
	static, err := s.hasStatic(ctx, typeID)
	if err != nil {
		return nil, nil, err
	}
	if !static {
		row, rowErr := membership(ctx, s)
		if rowErr != nil {
			return nil, nil, rowErr
		}
		rows = append(rows, row)
	}
	rows, next, err := cut(id, rows, token)
	return rows, results(next), err
}

// maxRows is how many rows a page of entitlements or grants has. A gRPC message
// holds 4 MiB, and nobody is known to hold a role on less than tens of
// thousands of things.
const maxRows = 1000

// cut returns the rows of one page, and the token of the next. Without a
// session store rows may come and go in between.
func cut[T any](id *v2.ResourceId, rows []T, token pageToken) ([]T, *pageToken, error) {
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

// held returns one page of what a subject holds, beside what else is granted to
// it: grants on listed resources first, then those on resources that no list
// returned. Only the latter carry their resources.
func (s session) held(
	ctx context.Context, id *v2.ResourceId, sub subject, token pageToken, others []*v2.Grant, opts ...grant.GrantOption,
) ([]*v2.Grant, *rs.SyncOpResults, error) {
	placed, err := s.place(ctx, sub.Permissions)
	if err != nil {
		return nil, nil, err
	}
	var ordinary, inserted []*v2.Grant
	for _, p := range placed {
		if sub.Back && !p.foretold {
			return nil, nil, isBack(id, entitlement.NewEntitlementID(stub(p.typeID, p.id), p.slug))
		}
		options := opts
		if p.typeID == typeWarehouse { // See roleOn.
			options = append(slices.Clone(opts), grant.WithAnnotation(&v2.GrantImmutable{}))
		}
		if p.listed {
			ordinary = append(ordinary, newGrant(p.typeID, p.id, p.slug, id, options...))
			continue
		}
		r, rowErr := p.unlistedResource()
		if rowErr != nil {
			return nil, nil, rowErr
		}
		inserted = append(inserted, grant.NewGrant(r, p.slug, id, options...))
	}
	if token.Phase == phaseUnlisted {
		rows, next, cutErr := cut(id, inserted, token)
		return rows, insertResources(next), cutErr
	}
	rows, next, err := cut(id, append(ordinary, others...), token)
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

// A placedTarget is a target and what the lists say of it.
type placedTarget struct {
	target
	// listed is set if a list returned the resource, by the name that is name,
	// or if nobody can tell.
	listed bool
	name   string
	// foretold is set if the entitlement is one that all resources of the type
	// have.
	foretold bool
}

// place looks up what permissions grant, each once and in their order.
func (s session) place(ctx context.Context, permissions []segmentapi.Permission) ([]placedTarget, error) {
	targets, _ := targetsOf(permissions)
	asked := map[string][]string{typeRole: nil}
	for _, t := range targets {
		asked[typeRole] = append(asked[typeRole], t.roleID)
		ids := asked[t.typeID]
		if !isSet(t.labels) { // Sets of labels are in no list.
			ids = append(ids, t.id)
		}
		asked[t.typeID] = ids
	}
	var facts []string
	for typeID := range asked {
		facts = append(facts, keyOf(typeID, factReading), keyOf(typeID, factRows), keyOf(typeID, factStatic))
	}
	if _, err := s.learn(ctx, facts...); err != nil { // For what follows.
		return nil, err
	}
	found, err := s.listedOf(ctx, asked)
	if err != nil {
		return nil, err
	}
	type list struct {
		rows   map[string]listedRow
		read   bool
		static bool
	}
	lists := map[string]list{}
	for typeID := range asked {
		l := list{rows: found[typeID]}
		if _, l.read, err = s.rows(ctx, typeID); err != nil {
			return nil, err
		}
		if l.static, err = s.hasStatic(ctx, typeID); err != nil {
			return nil, err
		}
		lists[typeID] = l
	}
	spacesKnown := lists[typeSpace].read
	if _, asks := asked[typeSpace]; asks && !spacesKnown {
		if _, spacesKnown, err = s.fact(ctx, typeSpace, factForms); err != nil {
			return nil, err
		}
	}
	var placed []placedTarget
	seen := map[[3]string]bool{}
	for _, t := range targets {
		on := lists[t.typeID]
		row, ok := on.rows[t.id]
		switch {
		case ok:
			t.id = row.id
		case on.read, t.typeID == typeSpace && spacesKnown:
			t.id = unlistedID(t.typeID, t.id)
		}
		// Two scopes may be two forms of one.
		key := [3]string{t.typeID, t.id, t.slug}
		if seen[key] {
			continue
		}
		seen[key] = true
		p := placedTarget{target: t, listed: ok || !on.read && !isSet(t.labels), name: row.Name}
		role, ok := lists[typeRole].rows[t.roleID]
		if ok {
			p.roleName = role.Name
		}
		p.foretold = on.static && p.listed && (ok || !lists[typeRole].read) && pairs(p.roleName, t.typeID)
		placed = append(placed, p)
	}
	return placed, nil
}

// entitlement is the row of an entitlement that no list foretold.
func (p placedTarget) entitlement() (*v2.Entitlement, error) {
	r := v2.Resource_builder{Id: resourceID(p.typeID, p.id), DisplayName: p.name}.Build()
	if !p.listed {
		var err error
		if r, err = p.unlistedResource(); err != nil {
			return nil, err
		}
	}
	if p.typeID == typeRole {
		return roleAssigned(r), nil
	}
	return roleOn(r, p.target), nil
}

// unlistedResource describes the resource of a target that no list returned.
func (t target) unlistedResource() (*v2.Resource, error) {
	profile := map[string]any{"listed": false}
	switch t.typeID {
	case typeRole:
		return described(rs.NewRoleResource(displayName(t.roleName, t.id), roleType(), t.id, nil, rs.WithResourceProfile(profile)))
	case typeLabel:
		profile["labels"] = labelProfile(t.labels)
	}
	name := displayName(labelText(t.labels), t.id)
	for _, rt := range []*v2.ResourceType{sourceType(), warehouseType(), functionType(), spaceType(), labelType()} {
		if rt.GetId() == t.typeID {
			return described(rs.NewAppResource(name, rt, t.id, nil, rs.WithResourceProfile(profile)))
		}
	}
	return nil, fmt.Errorf("a permission leads to the resource type %q, which does not exist", t.typeID)
}

// newGrant names the resource by its id alone: its own row says the rest.
func newGrant(typeID, id, slug string, principal *v2.ResourceId, opts ...grant.GrantOption) *v2.Grant {
	return grant.NewGrant(stub(typeID, id), slug, principal, opts...)
}

// stub stands for a resource that has a row elsewhere.
func stub(typeID, id string) *v2.Resource {
	return v2.Resource_builder{Id: resourceID(typeID, id)}.Build()
}

// assignment is an entitlement that is either held or not.
func assignment(r *v2.Resource, slug, name, description string, to ...*v2.ResourceType) *v2.Entitlement {
	return entitlement.NewAssignmentEntitlement(r, slug,
		entitlement.WithDisplayName(name), entitlement.WithDescription(description), entitlement.WithGrantableTo(to...))
}
