package sim

import (
	"fmt"
	"slices"
	"strings"
)

// The types that a resource of a permission can have, in every version of the
// official schema so far.
const (
	typeWorkspace = "WORKSPACE"
	typeSource    = "SOURCE"
	typeWarehouse = "WAREHOUSE"
	typeFunction  = "FUNCTION"
	typeSpace     = "SPACE"
)

// on returns a permission of a role on resources.
func on(role string, rs ...Resource) Permission { return Permission{RoleID: role, Resources: rs} }

// scope returns one resource without labels.
func scope(kind, id string) Resource { return Resource{ID: id, Type: kind} }

// The kinds of subjects, as in the documented answer of POST.
const (
	subjectUser  = "user"
	subjectGroup = "group"
)

// A subject is the user or the group that holds permissions.
type subject struct{ kind, id string }

type permissionsInput struct {
	Permissions []Permission `json:"permissions"`
}

// addPermissions merges the requested permissions into those that the subject holds,
// unless WithPost selects another way. Merging is not documented, but Segment's audit
// events (a policy is created, or updated) suggest it. The answer is the whole set, as
// the official client documents it.
func (c *call) addPermissions(of subject, held *[]Permission) (reply, *problem) {
	asked, p := c.askedPermissions(*held)
	if p != nil {
		return reply{}, p
	}
	asked = c.normalizePost(asked)
	kept := *held
	switch c.post {
	case PostMerges:
	case PostReplaces:
		kept = nil
	case PostReplacesRole:
		kept = slices.DeleteFunc(slices.Clone(kept), func(h Permission) bool {
			return slices.ContainsFunc(asked, func(a Permission) bool { return a.RoleID == h.RoleID })
		})
	}
	c.recordAddedPolicies(of, *held, asked)
	*held = c.withMinimal(merge(kept, asked))
	out := c.wirePermissions(of, c.written(of, *held), true)
	return ok(map[string]any{"permissions": c.ordered(out)}), nil
}

// replacePermissions replaces the permissions that the subject holds.
func (c *call) replacePermissions(of subject, held *[]Permission) (reply, *problem) {
	asked, p := c.askedPermissions(*held)
	if p != nil {
		return reply{}, p
	}
	if c.normalizes(NormalizePutDropsLabels) {
		dropLabels(asked)
	}
	c.recordReplacedPolicies(of, *held)
	*held = c.withMinimal(merge(nil, asked))
	out := c.wirePermissions(of, c.written(of, *held), false)
	return ok(map[string]any{"permissions": c.ordered(out)}), nil
}

// written makes the edits planned after a write of permissions, and returns what the
// subject holds then. If an edit has removed the subject, that is what was written.
func (c *call) written(of subject, held []Permission) []Permission {
	c.idx = nil
	c.makeEditsAfter()
	switch of.kind {
	case subjectUser:
		if i, there := c.index().users[of.id]; there {
			return c.state.Users[i].Permissions
		}
	case subjectGroup:
		if i, there := c.index().groups[of.id]; there {
			return c.state.Groups[i].Permissions
		}
	}
	return held
}

// askedPermissions reads the body. It refuses an empty list, even for a replacement: an
// assumption.
func (c *call) askedPermissions(held []Permission) ([]Permission, *problem) {
	var in permissionsInput
	if p := c.decode(&in); p != nil {
		return nil, p
	}
	if len(in.Permissions) == 0 {
		return nil, invalid("permissions", "must contain at least 1 item")
	}
	for i := range in.Permissions {
		// Requests have no role names. Permissions that are held keep theirs.
		in.Permissions[i].RoleName = heldRoleName(held, in.Permissions[i].RoleID)
		in.Permissions[i].Extra = nil
		removeExtra(in.Permissions[i].Resources)
	}
	return in.Permissions, c.checkPermissions("permissions", in.Permissions, held)
}

func heldRoleName(held []Permission, roleID string) string {
	i := slices.IndexFunc(held, func(h Permission) bool { return h.RoleID == roleID })
	if i < 0 {
		return ""
	}
	return held[i].RoleName
}

// checkPermissions refuses unknown roles, resources and labels with 422. Those that the
// subject holds already count as known, even if no list has them: otherwise nobody could
// edit a permission on a deleted resource.
func (c *call) checkPermissions(field string, asked, held []Permission) *problem {
	for i, a := range asked {
		at := fmt.Sprintf("%s.%d", field, i)
		if !has(c.index().roles, a.RoleID) && !slices.ContainsFunc(held, func(h Permission) bool { return h.RoleID == a.RoleID }) {
			return invalid(at+".roleId", "is not a role")
		}
		if len(a.Resources) == 0 {
			return invalid(at+".resources", "must contain at least 1 item")
		}
		for j, r := range a.Resources {
			resource := fmt.Sprintf("%s.resources.%d", at, j)
			if c.roleScopes && !c.mayBeOn(a.RoleID, r.Type) && !holds(ofRole(held, a.RoleID), r) {
				return invalid(resource+".type", "is not one that the role applies to")
			}
			if holds(held, r) {
				continue
			}
			if !c.exists(r) {
				return invalid(resource+".id", "is not a resource of this type in the workspace")
			}
			// The official client documents labels as "exclusive to Workspace-level permissions".
			if len(r.Labels) > 0 && r.Type != typeWorkspace {
				return invalid(resource+".labels", "are for resources of type WORKSPACE only")
			}
			for _, l := range r.Labels {
				if !slices.ContainsFunc(c.state.Labels, func(k Label) bool { return k.Key == l.Key && k.Value == l.Value }) {
					return invalid(resource+".labels", "must be labels of the workspace")
				}
			}
		}
	}
	return nil
}

// ofRole returns the permissions with a role.
func ofRole(held []Permission, roleID string) []Permission {
	return slices.DeleteFunc(slices.Clone(held), func(h Permission) bool { return h.RoleID != roleID })
}

// mayBeOn reports whether Segment's documentation of roles names a type of resources for a
// role. No role is for single warehouses.
func (c *call) mayBeOn(roleID, kind string) bool {
	name := ""
	if at, there := c.index().roles[roleID]; there {
		name = c.state.Roles[at].Name
	}
	switch kind {
	case typeWorkspace:
		return true
	case typeSource:
		return slices.Contains([]string{"Source Admin", "Source Read-only"}, name)
	case typeFunction:
		return slices.Contains([]string{"Function Admin", "Functions Admin", "Function Read-only", "Functions Read-only"}, name)
	case typeSpace:
		return slices.Contains([]string{"Unify and Engage Admin", "Unify and Engage Read-only", "Unify Read-only, Engage User"}, name)
	}
	return false
}

func holds(held []Permission, r Resource) bool {
	return slices.ContainsFunc(held, func(h Permission) bool {
		return slices.ContainsFunc(h.Resources, func(have Resource) bool { return sameResource(have, r) })
	})
}

// exists reports whether the workspace has the resource. The id of a space may have its
// prefix or not, because Segment's documents use both.
func (c *call) exists(r Resource) bool {
	w := c.state
	switch r.Type {
	case typeWorkspace:
		return r.ID == w.ID
	case typeSource:
		return slices.ContainsFunc(w.Sources, func(s Source) bool { return s.ID == r.ID })
	case typeWarehouse:
		return slices.ContainsFunc(w.Warehouses, func(h Warehouse) bool { return h.ID == r.ID })
	case typeFunction:
		return slices.ContainsFunc(w.Functions, func(f Function) bool { return f.ID == r.ID })
	case typeSpace:
		return slices.ContainsFunc(w.Spaces, func(s Space) bool { return bareSpaceID(s.ID) == bareSpaceID(r.ID) })
	default:
		return false
	}
}

func bareSpaceID(id string) string { return strings.TrimPrefix(id, "spa_") }

// merge returns held with added, with one permission for each role, as in all known
// workspaces, and each resource once. The result shares no memory with held.
func merge(held, added []Permission) []Permission {
	merged := clonePermissions(held)
	for _, a := range added {
		i := slices.IndexFunc(merged, func(m Permission) bool { return m.RoleID == a.RoleID })
		if i < 0 {
			i = len(merged)
			merged = append(merged, Permission{RoleID: a.RoleID, RoleName: a.RoleName, Extra: cloneSettings(a.Extra)})
		}
		for _, r := range a.Resources {
			if !slices.ContainsFunc(merged[i].Resources, func(have Resource) bool { return sameResource(have, r) }) {
				merged[i].Resources = append(merged[i].Resources, cloneResource(r))
			}
		}
	}
	return merged
}

// sameResource compares type, id and the set of labels. A workspace with other labels
// is another scope.
func sameResource(a, b Resource) bool {
	return a.Type == b.Type && a.ID == b.ID && labelsWithin(a.Labels, b.Labels) && labelsWithin(b.Labels, a.Labels)
}

func labelsWithin(some, all []Label) bool {
	for _, s := range some {
		if !slices.ContainsFunc(all, func(l Label) bool { return l.Key == s.Key && l.Value == s.Value }) {
			return false
		}
	}
	return true
}

// permissions converts the permissions of a subject for the answer of a read. It returns a
// pointer to a slice that is never nil: an empty list is sent, and a nil pointer omits the
// field.
func (c *call) permissions(of subject, ps []Permission) *[]wirePermission {
	out := c.ordered(c.readPermissions(of, ps))
	return &out
}

// wirePermissions converts the permissions of a subject without ordering them. If named is
// set, each has the fields that only the documented answer of POST has.
func (c *call) wirePermissions(of subject, ps []Permission, named bool) []wirePermission {
	ps = c.arranged(ps)
	out := make([]wirePermission, 0, len(ps))
	seen := map[string]int{}
	for _, p := range ps {
		w := wirePermission{RoleID: p.RoleID, RoleName: p.RoleName, Resources: make([]wireResource, 0, len(p.Resources)), extra: p.Extra}
		if at, there := c.index().roles[p.RoleID]; there {
			w.RoleName = c.state.Roles[at].Name
		}
		if named {
			w.PolicyID, w.SubjectID, w.SubjectType = policyID(of.id, p.RoleID, seen[p.RoleID]), of.id, of.kind
			seen[p.RoleID]++
		}
		c.altered = c.altered || len(p.Extra) > 0
		for _, r := range p.Resources {
			w.Resources = append(w.Resources, c.wireResource(r))
		}
		out = append(out, w)
	}
	return out
}

// policyID returns the id of the policy that gives a subject a role, and of the nth other
// one with the same role.
func policyID(subjectID, roleID string, nth int) string {
	return makeID("policy", subjectID, roleID, nth)
}

func wireLabels(ls []Label) []wireLabel {
	out := make([]wireLabel, 0, len(ls))
	for _, l := range ls {
		out = append(out, wireLabel(l))
	}
	return out
}
