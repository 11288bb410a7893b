package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

const (
	typeRole = "role"
	typeUser = "user"
	// owner is the name of the role that reaches everything.
	owner = "Workspace Owner"
)

// A row is a resource as `baton resources` prints it.
type row struct {
	Resource     object `json:"resource"`
	ResourceType struct {
		DisplayName string `json:"displayName"`
	} `json:"resourceType"`
}

// A source is a source and the ids of the roles that can be held on it.
type source struct {
	object
	roles map[string]bool
}

// readSources reads the sources and the entitlements on each.
func (d demo) readSources(ctx context.Context) ([]source, error) {
	var rows struct {
		Resources []row `json:"resources"`
	}
	if err := d.readJSON(ctx, &rows, "resources", "-t", "source"); err != nil {
		return nil, err
	}
	var on struct {
		Entitlements []struct {
			Entitlement struct {
				Slug string `json:"slug"`
			} `json:"entitlement"`
			Resource object `json:"resource"`
		} `json:"entitlements"`
	}
	if err := d.readJSON(ctx, &on, "entitlements"); err != nil {
		return nil, err
	}
	var sources []source
	for _, r := range rows.Resources {
		s := source{object: r.Resource, roles: map[string]bool{}}
		for _, e := range on.Entitlements {
			if e.Resource.ID == s.ID {
				s.roles[e.Entitlement.Slug] = true
			}
		}
		sources = append(sources, s)
	}
	return sources, nil
}

// heldOn returns the scope on which a grant that reaches s is held, or "" if the grant
// does not reach s.
func (s source) heldOn(g grant) string {
	switch on := g.Resource; {
	case on.ID == s.ID:
		return "this source"
	case on.ID.ResourceType == typeRole && (on.DisplayName == owner || s.roles[on.ID.Resource]):
		return "the whole workspace"
	case on.ID.ResourceType == "label" && s.roles[g.Entitlement.Slug]:
		for _, label := range on.Profile.Labels {
			if !slices.Contains(s.Profile.Labels, label) {
				return ""
			}
		}
		return "label " + on.DisplayName
	}
	return ""
}

// role returns the name of the role that a grant gives.
func (g grant) role() string {
	if g.Resource.ID.ResourceType == typeRole {
		return g.Resource.DisplayName
	}
	return g.Entitlement.DisplayName
}

// showSource prints everyone who reaches one source: the one that is reached in the
// most ways, and of several the one with the fewest rows.
func (d demo) showSource(ctx context.Context, grants []grant) error {
	sources, err := d.readSources(ctx)
	if err != nil {
		return err
	}
	var best source
	var table [][]string
	ways := 0
	for _, s := range sources {
		rows, n := s.reach(grants)
		if n > ways || n == ways && len(rows) < len(table) {
			best, table, ways = s, rows, n
		}
	}
	if len(table) == 0 {
		return errors.New("nobody reaches a source")
	}
	d.printf("Everyone who reaches the source %s (labels: %s), and through what:\n",
		best.DisplayName, cmp.Or(strings.Join(best.Profile.Labels, ", "), "none"))
	return d.table(slices.Insert(table, 0, []string{"WHO", "ROLE", "HELD ON", "HOW"}))
}

// reach returns a row for each grant by which a user reaches s, and the number of
// different ways.
func (s source) reach(grants []grant) ([][]string, int) {
	names := groupNames(grants)
	ways := map[string]bool{}
	var table [][]string
	for _, g := range grants {
		on := s.heldOn(g)
		if on == "" || g.Principal.ID.ResourceType != typeUser {
			continue
		}
		direct, _ := g.origins()
		ways[fmt.Sprint(strings.Fields(on)[0], direct)] = true
		table = append(table, []string{g.Principal.DisplayName, g.role(), on, g.how(names)})
	}
	slices.SortFunc(table, slices.Compare[[]string])
	return table, len(ways)
}

// how returns the origins of a grant in words.
func (g grant) how(names map[string]string) string {
	direct, groups := g.origins()
	var origins []string
	if direct {
		origins = append(origins, "directly")
	}
	for _, group := range groups {
		origins = append(origins, "through the group "+names[group])
	}
	return strings.Join(origins, " and ")
}

// groupNames maps each entitlement to the name of its resource.
func groupNames(grants []grant) map[string]string {
	names := map[string]string{}
	for _, g := range grants {
		names[g.Entitlement.ID] = g.Resource.DisplayName
	}
	return names
}

// origins reports whether a grant is held directly, and returns the entitlements of the
// groups that it comes through. If a direct grant comes through groups as well, its own
// entitlement is among its sources.
func (g grant) origins() (bool, []string) {
	sources := slices.Sorted(maps.Keys(g.Grant.Sources.Sources))
	groups := slices.DeleteFunc(sources, func(source string) bool { return source == g.Entitlement.ID })
	return len(groups) == 0 || len(groups) < len(g.Grant.Sources.Sources), groups
}
