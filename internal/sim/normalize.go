package sim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A Normalization is a way in which a server changes what is written, or shows
// permissions other than they were written. That Segment does any of it is an assumption:
// no document covers it.
type Normalization string

// The normalizations. The first ones change what is stored, the others change answers.
const (
	// NormalizePostDropsLabels makes POST store permissions without their labels, so that
	// restricted permissions become unrestricted.
	NormalizePostDropsLabels Normalization = "post-drops-labels"
	// NormalizePostAddsWorkspace makes POST give each role on the whole workspace as
	// well.
	NormalizePostAddsWorkspace Normalization = "post-adds-workspace"
	// NormalizePutDropsLabels is NormalizePostDropsLabels for PUT. It is the most harmful
	// effect of a write that could go unnoticed.
	NormalizePutDropsLabels Normalization = "put-drops-labels"
	// NormalizeAddsMinimal makes POST and PUT add Minimal Workspace Access to permissions
	// without it.
	NormalizeAddsMinimal Normalization = "adds-minimal"
	// NormalizeUnknownPermissionField adds a field that no document has to each
	// permission that is held when the server is made or SetNormalizing called, and
	// the next two do so for its resources and labels. PUT loses these fields, POST
	// keeps those of permissions that it does not replace. Without the normalization
	// the fields are removed again.
	NormalizeUnknownPermissionField Normalization = "unknown-permission-field"
	NormalizeUnknownResourceField   Normalization = "unknown-resource-field"
	NormalizeUnknownLabelField      Normalization = "unknown-label-field"
	// NormalizeMergesRoles answers with one entry for each role.
	NormalizeMergesRoles Normalization = "merges-roles"
	// NormalizeSplitsResources answers with one entry for each resource.
	NormalizeSplitsResources Normalization = "splits-resources"
	// NormalizeReverses answers with permissions, resources and labels in reverse order.
	NormalizeReverses Normalization = "reverses"
	// NormalizeNullLabels answers with null instead of an empty list of labels.
	NormalizeNullLabels Normalization = "null-labels"
	// NormalizeKnownFields adds the fields to answers of reads that the documented answer
	// of POST has: policyId, subjectId, subjectType. Each label has a description.
	NormalizeKnownFields Normalization = "known-fields"
	// NormalizeOmitsPermissions leaves permissions out of the details of users and groups.
	NormalizeOmitsPermissions Normalization = "omits-permissions"
	// NormalizeShowsGroupPermissions adds the permissions of a user's groups to the detail
	// of the user.
	NormalizeShowsGroupPermissions Normalization = "shows-group-permissions"
)

// Normalizations lists every normalization.
func Normalizations() []Normalization {
	return []Normalization{
		NormalizePostDropsLabels, NormalizePostAddsWorkspace, NormalizePutDropsLabels, NormalizeAddsMinimal,
		NormalizeUnknownPermissionField, NormalizeUnknownResourceField, NormalizeUnknownLabelField,
		NormalizeMergesRoles, NormalizeSplitsResources, NormalizeReverses, NormalizeNullLabels, NormalizeKnownFields,
		NormalizeOmitsPermissions, NormalizeShowsGroupPermissions,
	}
}

// ParseNormalizations reads names that commas separate. The empty string has none.
func ParseNormalizations(list string) ([]Normalization, error) {
	var forms []Normalization
	for name := range strings.SplitSeq(list, ",") {
		n := Normalization(strings.TrimSpace(name))
		switch {
		case slices.Contains(Normalizations(), n):
			forms = append(forms, n)
		case list != "":
			all := mapSlice(Normalizations(), func(n Normalization) string { return string(n) })
			return nil, fmt.Errorf("sim: no normalization %q: there are %s", n, strings.Join(all, ", "))
		}
	}
	return forms, nil
}

// WithNormalizing adds normalizations. There are none by default.
func WithNormalizing(forms ...Normalization) Option {
	return func(s *Server) { s.normalizing = append(s.normalizing, forms...) }
}

// WithPutDroppingLabels is WithNormalizing with NormalizePutDropsLabels.
func WithPutDroppingLabels() Option { return WithNormalizing(NormalizePutDropsLabels) }

// SetNormalizing replaces all normalizations.
func (s *Server) SetNormalizing(forms ...Normalization) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.normalizing = slices.Clone(forms)
	s.makeEdits([]func(*Workspace){func(w *Workspace) {
		w.removeUnknownFields()
		w.addUnknownFields(forms)
	}})
}

func (s *Server) normalizes(n Normalization) bool { return slices.Contains(s.normalizing, n) }

// normalizePost returns what POST stores of the requested permissions.
func (c *call) normalizePost(asked []Permission) []Permission {
	if c.normalizes(NormalizePostDropsLabels) {
		dropLabels(asked)
	}
	if c.normalizes(NormalizePostAddsWorkspace) {
		for _, a := range asked {
			asked = append(asked, on(a.RoleID, scope(typeWorkspace, c.state.ID)))
		}
	}
	return asked
}

func dropLabels(ps []Permission) {
	for _, p := range ps {
		for i := range p.Resources {
			p.Resources[i].Labels = nil
		}
	}
}

// withMinimal adds Minimal Workspace Access, if there is such a role, to permissions that
// are written without it.
func (c *call) withMinimal(ps []Permission) []Permission {
	i := slices.IndexFunc(c.state.Roles, func(r Role) bool { return r.Name == minimalAccess })
	if i < 0 || !c.normalizes(NormalizeAddsMinimal) {
		return ps
	}
	role := c.state.Roles[i].ID
	if slices.ContainsFunc(ps, func(p Permission) bool { return p.RoleID == role }) {
		return ps
	}
	return append(ps, on(role, scope(typeWorkspace, c.state.ID)))
}

// userPermissions returns the permissions in the detail of a user, nil for none at all.
func (c *call) userPermissions(u *User) *[]wirePermission {
	if c.normalizes(NormalizeOmitsPermissions) {
		return nil
	}
	shown := c.readPermissions(subject{subjectUser, u.ID}, u.Permissions)
	if c.normalizes(NormalizeShowsGroupPermissions) {
		for _, i := range c.index().groupsOfUser(u) {
			g := c.state.Groups[i]
			shown = append(shown, c.readPermissions(subject{subjectGroup, g.ID}, g.Permissions)...)
		}
	}
	shown = c.ordered(shown)
	return &shown
}

// readPermissions is wirePermissions for the answer of a read.
func (c *call) readPermissions(of subject, ps []Permission) []wirePermission {
	named := c.normalizes(NormalizeKnownFields)
	out := c.wirePermissions(of, ps, named)
	c.altered = c.altered || named && len(out) > 0
	return out
}

// arranged returns permissions with the entries that an answer has for them.
func (c *call) arranged(ps []Permission) []Permission {
	if c.normalizes(NormalizeMergesRoles) {
		ps = merge(nil, ps)
	}
	if !c.normalizes(NormalizeSplitsResources) {
		return ps
	}
	var split []Permission
	for _, p := range ps {
		if len(p.Resources) == 0 {
			split = append(split, p)
		}
		for _, r := range p.Resources {
			p.Resources = []Resource{r}
			split = append(split, p)
		}
	}
	return split
}

// ordered returns permissions in the order of an answer.
func (c *call) ordered(ps []wirePermission) []wirePermission {
	if !c.normalizes(NormalizeReverses) {
		return ps
	}
	slices.Reverse(ps)
	for _, p := range ps {
		slices.Reverse(p.Resources)
		for _, r := range p.Resources {
			slices.Reverse(r.Labels)
		}
	}
	return ps
}

func (c *call) wireResource(r Resource) wireResource {
	w := wireResource{ID: r.ID, Type: r.Type, Labels: make([]wireHeldLabel, 0, len(r.Labels)), extra: r.Extra}
	for _, l := range r.Labels {
		if c.normalizes(NormalizeKnownFields) && l.Description == "" {
			l.Description = "Label " + l.Key
		}
		w.Labels = append(w.Labels, wireHeldLabel{wireLabel(l), r.LabelExtra})
	}
	if len(w.Labels) == 0 && c.normalizes(NormalizeNullLabels) {
		w.Labels = nil
	}
	c.altered = c.altered || w.Labels == nil || len(r.Extra) > 0 || len(r.LabelExtra) > 0 && len(r.Labels) > 0
	return w
}

// removeExtra removes the fields that a request cannot set.
func removeExtra(rs []Resource) {
	for i := range rs {
		rs[i].Extra, rs[i].LabelExtra = nil, nil
	}
}

// The fields that no document has.
const (
	unknownPermissionField = "expiresAt"
	unknownResourceField   = "condition"
	unknownLabelField      = "source"
)

// addUnknownFields adds the fields of some normalizations to all permissions of users and
// groups.
func (w *Workspace) addUnknownFields(forms []Normalization) {
	set := func(m *map[string]any, n Normalization, name, value string) {
		if !slices.Contains(forms, n) {
			return
		}
		if *m == nil {
			*m = map[string]any{}
		}
		(*m)[name] = value
	}
	w.eachPermission(func(p *Permission) {
		set(&p.Extra, NormalizeUnknownPermissionField, unknownPermissionField, "2030-01-01T00:00:00.000Z")
		for i := range p.Resources {
			r := &p.Resources[i]
			set(&r.Extra, NormalizeUnknownResourceField, unknownResourceField, "weekdays")
			if len(r.Labels) > 0 {
				set(&r.LabelExtra, NormalizeUnknownLabelField, unknownLabelField, "imported")
			}
		}
	})
}

// removeUnknownFields removes what addUnknownFields has added.
func (w *Workspace) removeUnknownFields() {
	remove := func(m *map[string]any, name string) {
		maps.DeleteFunc(*m, func(field string, _ any) bool { return field == name })
		if len(*m) == 0 {
			*m = nil
		}
	}
	w.eachPermission(func(p *Permission) {
		remove(&p.Extra, unknownPermissionField)
		for i := range p.Resources {
			remove(&p.Resources[i].Extra, unknownResourceField)
			remove(&p.Resources[i].LabelExtra, unknownLabelField)
		}
	})
}

// eachPermission calls f for each permission of users and groups.
func (w *Workspace) eachPermission(f func(*Permission)) {
	for i := range w.Users {
		for j := range w.Users[i].Permissions {
			f(&w.Users[i].Permissions[j])
		}
	}
	for i := range w.Groups {
		for j := range w.Groups[i].Permissions {
			f(&w.Groups[i].Permissions[j])
		}
	}
}

// ChangeID gives the workspace another id. The permissions on the workspace follow.
func (w *Workspace) ChangeID(id string) {
	follow := func(p *Permission) {
		for i := range p.Resources {
			if r := &p.Resources[i]; r.Type == typeWorkspace && r.ID == w.ID {
				r.ID = id
			}
		}
	}
	w.eachPermission(follow)
	for i := range w.Invites {
		for j := range w.Invites[i].Permissions {
			follow(&w.Invites[i].Permissions[j])
		}
	}
	w.ID = id
}
