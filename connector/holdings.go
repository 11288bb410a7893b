package connector

import (
	"context"
	"slices"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"

	"github.com/baton-segment/baton-segment/connector/internal/syncstate"
	"github.com/baton-segment/baton-segment/segmentapi"
	"github.com/baton-segment/baton-segment/segmentapi/access"
)

// A holding is a role that a user or group holds on a target, and what the lists
// say of both.
type holding struct {
	access.Target
	// Listed is set if a list returned the resource, or if it is not known which
	// resources there are.
	Listed bool
	// Name is the name of the resource in its list.
	Name string
	// Foretold is set if all resources of the type have the entitlement.
	Foretold bool
}

// slug is the last part of the entitlement's id.
func (h holding) slug() string { return slugOf(h.Target) }

func (h holding) entitlementID() entitlementID { return entitlementID{h.Type, h.ID, h.slug()} }

func slugOf(t access.Target) string {
	if t.Type == access.TypeRole {
		return slugAssigned
	}
	return t.RoleID
}

// locate returns what permissions give, each once and in their order.
func locate(ctx context.Context, s syncstate.Sync, permissions []segmentapi.Permission) ([]holding, error) {
	targets, _ := access.Targets(permissions)
	l, err := lookUp(ctx, s, targets)
	if err != nil {
		return nil, err
	}
	var holdings []holding
	seen := map[entitlementID]bool{}
	for _, t := range targets {
		h := l.holding(t)
		// Two scopes may be two forms of one.
		if !seen[h.entitlementID()] {
			seen[h.entitlementID()] = true
			holdings = append(holdings, h)
		}
	}
	return holdings, nil
}

// lookups are what the lists say of some targets and their roles.
type lookups struct {
	marks map[syncstate.Mark]int
	// rows are the rows of each type, by the id that was asked for.
	rows map[string]map[string]listedRow
	// storeless is set if there is no session store: then nothing is known, and
	// static entitlements are taken for granted, as in a full sync.
	storeless bool
}

// A listedRow is a row of a list. Its id may be another form of the one that was
// asked for.
type listedRow struct{ id, name string }

func lookUp(ctx context.Context, s syncstate.Sync, targets []access.Target) (lookups, error) {
	ids := map[string][]string{}
	for _, t := range targets {
		ids[access.TypeRole] = append(ids[access.TypeRole], t.RoleID)
		if t.Type != access.TypeRole && !labelSet(t.Labels).isSet() { // Sets of labels are in no list.
			ids[t.Type] = append(ids[t.Type], t.ID)
		} else if ids[t.Type] == nil {
			ids[t.Type] = []string{}
		}
	}
	l := lookups{rows: map[string]map[string]listedRow{}}
	var marks []syncstate.Mark
	for typeID := range ids {
		marks = append(marks, syncstate.Ended(typeID), syncstate.Static(typeID))
	}
	var err error
	if l.marks, err = s.Marks(ctx, marks...); err != nil {
		return lookups{}, err
	}
	if len(l.marks) < len(marks) {
		if err = l.lookUpMissing(ctx, s, ids); err != nil {
			return lookups{}, err
		}
	}
	for typeID, asked := range ids {
		if l.rows[typeID], err = findRows(ctx, s, typeID, asked); err != nil {
			return lookups{}, err
		}
	}
	return l, nil
}

// lookUpMissing asks for what matters only if some lists were not read.
func (l *lookups) lookUpMissing(ctx context.Context, s syncstate.Sync, ids map[string][]string) error {
	usable, err := s.Usable(ctx)
	if err != nil {
		return err
	}
	l.storeless = !usable
	if _, asked := ids[access.TypeSpace]; !asked || l.read(access.TypeSpace) {
		return nil
	}
	if _, named, err := s.Marked(ctx, syncstate.NamesRead(access.TypeSpace)); named || err != nil {
		l.marks[syncstate.NamesRead(access.TypeSpace)] = 1
		return err
	}
	return nil
}

// findRows returns the rows of a type's list that have ids. The second form of an
// id is asked for only if the list does not have the first.
func findRows(ctx context.Context, s syncstate.Sync, typeID string, ids []string) (map[string]listedRow, error) {
	rows := map[string]listedRow{}
	for n := range 2 {
		var forms []string
		for _, id := range ids {
			if all := access.IDForms(typeID, id); rows[id].id == "" && n < len(all) {
				forms = append(forms, all[n])
			}
		}
		names, err := s.Names(ctx, typeID, forms)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			all := access.IDForms(typeID, id)
			if rows[id].id != "" || n >= len(all) {
				continue
			}
			if name, listed := names[all[n]]; listed {
				rows[id] = listedRow{id: all[n], name: name}
			}
		}
	}
	return rows, nil
}

// read reports whether the list of a type has been read to its end.
func (l lookups) read(typeID string) bool {
	_, read := l.marks[syncstate.Ended(typeID)]
	return read
}

// static reports whether all rows of a type have their static entitlements.
func (l lookups) static(typeID string) bool {
	_, static := l.marks[syncstate.Static(typeID)]
	return static || l.storeless
}

// formsKnown reports whether it is known in which form the list has the id of a
// resource.
func (l lookups) formsKnown(typeID string) bool {
	_, named := l.marks[syncstate.NamesRead(typeID)]
	return named || l.read(typeID)
}

// holding adds to a target what the lists say of it.
func (l lookups) holding(t access.Target) holding {
	row, listed := l.rows[t.Type][t.ID]
	switch {
	case listed:
		t.ID = row.id
	case l.formsKnown(t.Type):
		t.ID = access.UnlistedID(t.Type, t.ID)
	}
	role, roleListed := l.rows[access.TypeRole][t.RoleID]
	if roleListed {
		t.RoleName = role.name
	}
	h := holding{Target: t, Name: row.name, Listed: listed || !l.read(t.Type) && !labelSet(t.Labels).isSet()}
	h.Foretold = h.Listed && l.static(t.Type) && (roleListed || !l.read(access.TypeRole)) && access.Applies(t.RoleName, t.Type)
	return h
}

// entitlement is the row of an entitlement that only a permission shows to
// exist.
func (h holding) entitlement(workspace string) (*v2.Entitlement, error) {
	r := v2.Resource_builder{Id: resourceID(h.Type, h.ID), DisplayName: h.Name}.Build()
	if !h.Listed {
		var err error
		if r, err = h.unlistedResource(workspace); err != nil {
			return nil, err
		}
	}
	if only := kindOf(h.Type).only; only != nil {
		return only.of(r), nil
	}
	return roleOn(r, h.Target), nil
}

// unlistedResource describes the resource of a holding that no list returned.
func (h holding) unlistedResource(workspace string) (*v2.Resource, error) {
	d := description{id: h.ID, profile: map[string]any{"listed": false}}
	switch h.Type {
	case access.TypeRole:
		d.names = []string{h.RoleName}
	case access.TypeLabel:
		d.names = []string{access.LabelText(h.Labels)}
		d.profile["labels"] = labelProfile(h.Labels)
	}
	return kindOf(h.Type).resource(workspace, d)
}

// readSpaceNames reads the spaces once in a targeted sync, which lists nothing,
// if permissions name any: with or without the prefix, a space must have the id
// that a full sync gives it.
func (c *Connector) readSpaceNames(ctx context.Context, s syncstate.Sync, permissions []segmentapi.Permission) error {
	namesSpace := func(p segmentapi.Permission) bool {
		return slices.ContainsFunc(p.Scopes, func(s segmentapi.Scope) bool { return s.Type == segmentapi.ScopeSpace })
	}
	if !slices.ContainsFunc(permissions, namesSpace) {
		return nil
	}
	for _, mark := range []syncstate.Mark{
		syncstate.Ended(typeUser), syncstate.Ended(typeGroup), syncstate.Ended(access.TypeSpace), syncstate.NamesRead(access.TypeSpace),
	} {
		if _, set, err := s.Marked(ctx, mark); set || err != nil {
			return err
		}
	}
	if ok, err := s.Usable(ctx); !ok || err != nil {
		return err
	}
	rows, err := allRows(ctx, c, "listing spaces", c.client.Spaces.List, func(space segmentapi.Space) syncstate.Row {
		return syncstate.Row{ID: space.ID, Name: displayName(space.Name, space.Slug, space.ID)}
	})
	if err != nil && (len(rows) > 0 || !segmentapi.LacksFeature(err)) {
		return err
	}
	if err = s.AddRows(ctx, access.TypeSpace, rows); err != nil {
		return err
	}
	return s.Mark(ctx, syncstate.NamesRead(access.TypeSpace), 1)
}
