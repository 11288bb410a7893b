package connector

import (
	"github.com/baton-segment/baton-segment/segmentapi"
)

// A target is the entitlement that one resource of a permission stands for.
type target struct {
	typeID string
	id     string
	slug   string
	// name is what to call the resource if no list returned it.
	name string
}

// scopeTypes says what each type of scope grants. A new type is a new row.
// Segment's types in API 57.3.0 are WORKSPACE, SOURCE, WAREHOUSE, FUNCTION and
// SPACE.
var scopeTypes = []struct {
	scope   segmentapi.ScopeType
	labeled bool
	target  func(segmentapi.Permission, segmentapi.Scope) target
}{
	{scope: segmentapi.ScopeWorkspace, target: func(p segmentapi.Permission, _ segmentapi.Scope) target {
		return target{typeID: typeRole, id: p.RoleID, slug: slugAssigned, name: p.RoleName}
	}},
}

// targetOf returns what a permission grants with one of its scopes, or false
// for a scope that has no row in the table.
func targetOf(p segmentapi.Permission, s segmentapi.Scope) (target, bool) {
	if p.RoleID == "" {
		return target{}, false
	}
	for _, row := range scopeTypes {
		if row.scope == s.Type && row.labeled == (len(s.Labels) > 0) {
			return row.target(p, s), true
		}
	}
	return target{}, false
}

// scopeKind names a kind of scope in the log.
func scopeKind(p segmentapi.Permission, s segmentapi.Scope) string {
	switch {
	case p.RoleID == "":
		return string(s.Type) + " without a role"
	case len(s.Labels) > 0:
		return string(s.Type) + " with labels"
	}
	return string(s.Type)
}

// targetsOf returns what permissions grant, each once and in their order, and
// how many scopes of which kind cannot be shown.
func targetsOf(permissions []segmentapi.Permission) ([]target, map[string]int) {
	var targets []target
	unknown := map[string]int{}
	seen := map[target]bool{}
	for _, p := range permissions {
		if len(p.Scopes) == 0 {
			unknown["nothing"]++
		}
		for _, s := range p.Scopes {
			t, ok := targetOf(p, s)
			if !ok {
				unknown[scopeKind(p, s)]++
				continue
			}
			key := t
			key.name = ""
			if !seen[key] {
				seen[key] = true
				targets = append(targets, t)
			}
		}
	}
	return targets, unknown
}
