package connector

import (
	"cmp"
	"strings"
	"unicode"

	"github.com/baton-segment/baton-segment/segmentapi"
)

// scopeTypes says which resource type a scope is shown on. A new type of scope
// is a new row. Segment's types in API 57.3.0 are WORKSPACE, SOURCE, WAREHOUSE,
// FUNCTION and SPACE; labels restrict the first only.
var scopeTypes = []struct {
	scope   segmentapi.ScopeType
	labeled bool
	typeID  string
}{
	{scope: segmentapi.ScopeWorkspace, typeID: typeRole},
	{scope: segmentapi.ScopeWorkspace, labeled: true, typeID: typeLabel},
	{scope: segmentapi.ScopeSource, typeID: typeSource},
	{scope: segmentapi.ScopeFunction, typeID: typeFunction},
	{scope: segmentapi.ScopeSpace, typeID: typeSpace},
	{scope: segmentapi.ScopeWarehouse, typeID: typeWarehouse},
}

// roleFamilies says which roles can be held on less than the workspace, by the
// first word of their names: Segment does not say it in its list of roles. A
// new family is a new row; roles of no family are for the whole workspace.
var roleFamilies = []struct {
	word   string // Lower case, singular.
	except string // What a name of the family must not contain.
	typeID string
	labels bool // Whether labels can restrict the roles as well.
}{
	{word: "source", typeID: typeSource, labels: true},
	{word: "function", typeID: typeFunction},
	{word: "warehouse", typeID: typeWarehouse},
	{word: "unify", except: "identity", typeID: typeSpace, labels: true},
	{word: "engage", except: "identity", typeID: typeSpace, labels: true},
	{word: "persona", except: "identity", typeID: typeSpace, labels: true},
}

// pairs reports whether a role of this name is meant to be held on resources
// of a type.
func pairs(roleName, typeID string) bool {
	if typeID == typeRole {
		return true
	}
	name := strings.ToLower(roleName)
	words := strings.FieldsFunc(name, func(r rune) bool { return !unicode.IsLetter(r) })
	if len(words) == 0 {
		return false
	}
	for _, f := range roleFamilies {
		if words[0] != f.word && words[0] != f.word+"s" || f.except != "" && strings.Contains(name, f.except) {
			continue
		}
		return f.typeID == typeID || f.labels && typeID == typeLabel
	}
	return false
}

// A target is the entitlement that one scope of a permission stands for.
type target struct {
	typeID string
	id     string
	slug   string
	// The role that is held, and the labels that restrict it.
	roleID   string
	roleName string
	labels   []segmentapi.Label
}

// targetOf returns what a permission grants with one of its scopes, or false
// for a scope that cannot be shown.
func targetOf(p segmentapi.Permission, s segmentapi.Scope) (target, bool) {
	t := target{id: s.ID, slug: p.RoleID, roleID: p.RoleID, roleName: p.RoleName}
	labeled := s.Type == segmentapi.ScopeWorkspace && len(s.Labels) > 0
	for _, row := range scopeTypes {
		if row.scope == s.Type && row.labeled == labeled {
			t.typeID = row.typeID
		}
	}
	switch t.typeID {
	case typeRole:
		t.id, t.slug = p.RoleID, slugAssigned
	case typeLabel:
		t.id, t.labels = labelID(s.Labels), s.Labels
	}
	return t, t.typeID != "" && t.id != "" && p.RoleID != ""
}

// scopeKind names a kind of scope that cannot be shown, for the log.
func scopeKind(p segmentapi.Permission, s segmentapi.Scope) string {
	kind := cmp.Or(string(s.Type), "a scope without a type")
	switch {
	case p.RoleID == "":
		return kind + " without a role"
	case s.ID == "":
		return kind + " without an id"
	}
	return kind
}

// targetsOf returns what each scope of permissions grants, and how many scopes
// of which kind cannot be shown.
func targetsOf(permissions []segmentapi.Permission) ([]target, map[string]int) {
	var targets []target
	unknown := map[string]int{}
	for _, p := range permissions {
		if len(p.Scopes) == 0 {
			unknown["nothing"]++
		}
		for _, s := range p.Scopes {
			if t, ok := targetOf(p, s); ok {
				targets = append(targets, t)
			} else {
				unknown[scopeKind(p, s)]++
			}
		}
	}
	return targets, unknown
}

// spacePrefix begins the ids of spaces in permissions, and in some lists.
const spacePrefix = "spa_"

// forms are the ids that a resource may be listed under, the most likely
// first. Segment writes those of spaces with and without their prefix.
func forms(typeID, id string) []string {
	bare, prefixed := strings.CutPrefix(id, spacePrefix)
	switch {
	case typeID != typeSpace:
		return []string{id}
	case prefixed:
		return []string{id, bare}
	}
	return []string{id, spacePrefix + id}
}

// unlistedID is the one id of a resource that no list returned.
func unlistedID(typeID, id string) string {
	if typeID == typeSpace {
		return spacePrefix + strings.TrimPrefix(id, spacePrefix)
	}
	return id
}
