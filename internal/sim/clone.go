package sim

import (
	"maps"
	"slices"
)

// clone returns a copy that shares no memory with w.
func (w *Workspace) clone() *Workspace {
	c := *w
	c.Users = mapSlice(w.Users, func(u User) User {
		u.Permissions = clonePermissions(u.Permissions)
		return u
	})
	c.Groups = mapSlice(w.Groups, func(g Group) Group {
		g.Members = slices.Clone(g.Members)
		g.Permissions = clonePermissions(g.Permissions)
		return g
	})
	c.Invites = mapSlice(w.Invites, func(i Invite) Invite {
		i.Permissions = clonePermissions(i.Permissions)
		return i
	})
	c.Roles = slices.Clone(w.Roles)
	c.Labels = slices.Clone(w.Labels)
	c.Sources = mapSlice(w.Sources, func(s Source) Source {
		s.Name = clonePointer(s.Name)
		s.WriteKeys = slices.Clone(s.WriteKeys)
		s.Settings = cloneSettings(s.Settings)
		s.Labels = slices.Clone(s.Labels)
		return s
	})
	c.Warehouses = mapSlice(w.Warehouses, func(h Warehouse) Warehouse {
		h.Settings = cloneSettings(h.Settings)
		return h
	})
	c.Functions = mapSlice(w.Functions, func(f Function) Function {
		f.DisplayName = clonePointer(f.DisplayName)
		f.Settings = slices.Clone(f.Settings)
		return f
	})
	c.Spaces = slices.Clone(w.Spaces)
	return &c
}

func clonePermissions(ps []Permission) []Permission {
	return mapSlice(ps, func(p Permission) Permission {
		p.Resources = mapSlice(p.Resources, cloneResource)
		p.Extra = cloneSettings(p.Extra)
		return p
	})
}

func cloneResource(r Resource) Resource {
	r.Labels = slices.Clone(r.Labels)
	r.Extra = cloneSettings(r.Extra)
	r.LabelExtra = cloneSettings(r.LabelExtra)
	return r
}

func cloneSettings(m map[string]any) map[string]any {
	c := maps.Clone(m)
	for k, v := range c {
		c[k] = cloneValue(v)
	}
	return c
}

// cloneValue copies a value that encoding/json can decode into an any.
func cloneValue(v any) any {
	switch v := v.(type) {
	case map[string]any:
		return cloneSettings(v)
	case []any:
		return mapSlice(v, cloneValue)
	default:
		return v
	}
}

func clonePointer[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}

// mapSlice returns f of each element. The result of nil is nil.
func mapSlice[T, U any](in []T, f func(T) U) []U {
	if in == nil {
		return nil
	}
	out := make([]U, len(in))
	for i, v := range in {
		out[i] = f(v)
	}
	return out
}
