package access

import (
	"cmp"

	"github.com/baton-segment/baton-segment/segmentapi"
)

// The types of what roles are held on. A role that is held on the whole
// workspace is its own target, of the type TypeRole.
const (
	TypeRole      = "role"
	TypeLabel     = "label"
	TypeSource    = "source"
	TypeFunction  = "function"
	TypeSpace     = "space"
	TypeWarehouse = "warehouse"
)

// scopeTypes maps each type of scope to the type of its target. A new type of
// scope is a new row. Segment's types in API 57.3.0 are WORKSPACE, SOURCE,
// WAREHOUSE, FUNCTION and SPACE; labels restrict the first only.
var scopeTypes = []struct {
	scope      segmentapi.ScopeType
	labeled    bool
	targetType string
}{
	{scope: segmentapi.ScopeWorkspace, targetType: TypeRole},
	{scope: segmentapi.ScopeWorkspace, labeled: true, targetType: TypeLabel},
	{scope: segmentapi.ScopeSource, targetType: TypeSource},
	{scope: segmentapi.ScopeFunction, targetType: TypeFunction},
	{scope: segmentapi.ScopeSpace, targetType: TypeSpace},
	{scope: segmentapi.ScopeWarehouse, targetType: TypeWarehouse},
}

// ScopeOf returns the type of the scopes that lead to targets of a type, or
// false if no scope does.
func ScopeOf(targetType string) (segmentapi.ScopeType, bool) {
	for _, row := range scopeTypes {
		if row.targetType == targetType {
			return row.scope, true
		}
	}
	return "", false
}

// A Target is what one scope of a permission gives a role on.
type Target struct {
	// Type is one of the constants of this package.
	Type string
	// ID is the role's id for TypeRole, a [LabelID] for TypeLabel, and the id in
	// the scope for everything else.
	ID string
	// RoleID and RoleName are the role that is held.
	RoleID   string
	RoleName string
	// Labels are those that a resource must carry, all of them, for TypeLabel.
	Labels []segmentapi.Label
}

// TargetOf returns what a permission gives with one of its scopes. It returns
// false if the type of the scope is unknown, or if the scope or the role has no
// id.
//
// A workspace scope with labels is not workspace-wide: its target is the set of
// labels.
func TargetOf(p segmentapi.Permission, s segmentapi.Scope) (Target, bool) {
	t := Target{ID: s.ID, RoleID: p.RoleID, RoleName: p.RoleName}
	labeled := s.Type == segmentapi.ScopeWorkspace && len(s.Labels) > 0
	for _, row := range scopeTypes {
		if row.scope == s.Type && row.labeled == labeled {
			t.Type = row.targetType
		}
	}
	switch t.Type {
	case TypeRole:
		t.ID = p.RoleID
	case TypeLabel:
		t.ID, t.Labels = LabelID(s.Labels), s.Labels
	}
	return t, t.Type != "" && t.ID != "" && p.RoleID != ""
}

// Targets returns what each scope of permissions gives, in their order, and how
// many scopes have no target, by a description of the kind of scope.
func Targets(permissions []segmentapi.Permission) ([]Target, map[string]int) {
	var targets []Target
	unknown := map[string]int{}
	for _, p := range permissions {
		if len(p.Scopes) == 0 {
			unknown["nothing"]++
		}
		for _, s := range p.Scopes {
			if t, ok := TargetOf(p, s); ok {
				targets = append(targets, t)
			} else {
				unknown[unknownKind(p, s)]++
			}
		}
	}
	return targets, unknown
}

// unknownKind describes a scope that has no target.
func unknownKind(p segmentapi.Permission, s segmentapi.Scope) string {
	kind := cmp.Or(string(s.Type), "a scope without a type")
	switch {
	case p.RoleID == "":
		return kind + " without a role"
	case s.ID == "":
		return kind + " without an id"
	}
	return kind
}
