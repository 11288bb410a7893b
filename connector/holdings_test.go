package connector

import (
	"testing"

	rs "github.com/conductorone/baton-sdk/pkg/types/resource"
	"github.com/google/go-cmp/cmp"

	"github.com/baton-segment/baton-segment/connector/internal/syncstate"
	"github.com/baton-segment/baton-segment/connector/internal/syncstate/statetest"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// The lists decide under which id a space is shown, whether a resource is listed,
// and whether a role is meant for its type.
func TestLocate(t *testing.T) {
	t.Parallel()
	permission := func(role, name string, kind segmentapi.ScopeType, ids ...string) segmentapi.Permission {
		p := segmentapi.Permission{RoleID: role, RoleName: name}
		for _, id := range ids {
			p.Scopes = append(p.Scopes, segmentapi.Scope{Type: kind, ID: id})
		}
		return p
	}
	const listed, foretold = " listed", " foretold"
	all := map[string]map[string]string{
		typeRole:   {"src": "Source Admin", "uni": "Unify and Engage Admin", "renamed": "Source Admin"},
		typeSource: {"s": "Web"}, typeSpace: {"spa_a": "A", "b": "B", "spa_c": "C", "c": "Bare C"},
	}
	for name, c := range map[string]struct {
		lists      map[string]map[string]string
		permission segmentapi.Permission
		want       []string
	}{
		"foretold":                            {all, permission("src", "Source Admin", "SOURCE", "s"), []string{"source:s:src" + listed + foretold}},
		"the same twice":                      {all, permission("src", "Source Admin", "SOURCE", "s", "gone", "s", "gone"), []string{"source:s:src" + listed + foretold, "source:gone:src"}},
		"resource not listed":                 {all, permission("src", "Source Admin", "SOURCE", "gone"), []string{"source:gone:src"}},
		"role not listed":                     {all, permission("ghost", "Source Admin", "SOURCE", "s"), []string{"source:s:ghost" + listed}},
		"role not listed, workspace":          {all, permission("ghost", "Ghost", "WORKSPACE", "ws"), []string{"role:ghost:assigned"}},
		"role listed, workspace":              {all, permission("src", "", "WORKSPACE", "ws"), []string{"role:src:assigned" + listed + foretold}},
		"role for something else":             {all, permission("uni", "Unify and Engage Admin", "SOURCE", "s"), []string{"source:s:uni" + listed}},
		"the list's name counts":              {all, permission("renamed", "Tracking Plan Admin", "SOURCE", "s"), []string{"source:s:renamed" + listed + foretold}},
		"the name in the permission does not": {all, permission("uni", "Source Admin", "SOURCE", "s"), []string{"source:s:uni" + listed}},
		"space with the prefix":               {all, permission("uni", "", "SPACE", "spa_a"), []string{"space:spa_a:uni" + listed + foretold}},
		"space lacks the prefix":              {all, permission("uni", "", "SPACE", "a"), []string{"space:spa_a:uni" + listed + foretold}},
		"space is listed bare":                {all, permission("uni", "", "SPACE", "spa_b", "b"), []string{"space:b:uni" + listed + foretold}},
		"both forms are listed":               {all, permission("uni", "", "SPACE", "c", "spa_c"), []string{"space:c:uni" + listed + foretold, "space:spa_c:uni" + listed + foretold}},
		"neither form is listed":              {all, permission("uni", "", "SPACE", "d", "spa_d"), []string{"space:spa_d:uni"}},
		"two forms of one":                    {all, permission("uni", "", "SPACE", "a", "spa_spa_a"), []string{"space:spa_a:uni" + listed + foretold}},
		"only spaces have forms":              {all, permission("src", "", "SOURCE", "spa_s"), []string{"source:spa_s:src"}},
		"nothing was listed":                  {nil, permission("src", "Source Admin", "SOURCE", "s"), []string{"source:s:src" + listed}},
		"nothing was listed, and the role is for something else": {nil, permission("uni", "Unify and Engage Admin", "SOURCE", "s"), []string{"source:s:uni" + listed}},
		"nothing was listed, space":                              {nil, permission("uni", "Unify", "SPACE", "e"), []string{"space:e:uni" + listed}},
		"roles were not listed":                                  {map[string]map[string]string{typeSource: {}}, permission("src", "Source Admin", "SOURCE", "s"), []string{"source:s:src"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var tracker syncstate.Tracker
			s := tracker.Open(rs.SyncOpAttrs{Session: statetest.New(), SyncID: "sync"})
			for typeID, names := range c.lists {
				var rows []syncstate.Row
				for id, name := range names {
					rows = append(rows, syncstate.Row{ID: id, Name: name})
				}
				for _, err := range []error{
					s.AddRows(t.Context(), typeID, rows),
					s.Mark(t.Context(), syncstate.Ended(typeID), len(rows)),
					s.Mark(t.Context(), syncstate.Static(typeID), 1),
				} {
					if err != nil {
						t.Fatal(err)
					}
				}
			}
			holdings, err := locate(t.Context(), s, []segmentapi.Permission{c.permission})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, h := range holdings {
				line := h.Type + ":" + h.ID + ":" + h.slug()
				if h.Listed {
					line += listed
				}
				if h.Foretold {
					line += foretold
				}
				got = append(got, line)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("holdings (-want +got):\n%s", diff)
			}
		})
	}
}
