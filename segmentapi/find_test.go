package segmentapi_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// sameNames has users, groups, sources and roles with names that are alike.
func sameNames() *sim.Workspace {
	ws := testWorkspace(on(minimal, wholeWorkspace))
	for id, email := range map[string]string{
		"ann": "Ann@example.com", "ann2": "ann@EXAMPLE.com", "bob": "bob@example.com", "cy": "cy@example.com", "cy2": "cy@example.com", "kelvin": "\u212Aai@example.com",
	} {
		ws.Users = append(ws.Users, sim.User{ID: id, Email: email})
	}
	for id, name := range map[string]string{"data": "Data", "data2": "DATA", "ops": "Ops", "twin": "Twin", "twin2": "Twin"} {
		ws.Groups = append(ws.Groups, sim.Group{ID: id, Name: name, Permissions: []sim.Permission{on(minimal, wholeWorkspace)}})
	}
	source := func(id, slug, name string) sim.Source { return sim.Source{ID: id, Slug: slug, Name: &name} }
	ws.Sources = []sim.Source{
		source("web", "web-shop", "Web Shop"), source("web2", "web-shop-1", "Web Shop"), source("ios", "ios", "Our App"),
		source("prod", "prod", "One"), source("prod2", "prod-1", "prod"), {ID: "unnamed", Slug: "no-name"},
		source("both", "both", "both"), source("up", "UP", ""), source("up2", "up-1", "Up"),
	}
	ws.Roles = append(ws.Roles, sim.Role{ID: "odd", Name: "source admin"}, sim.Role{ID: "extra", Name: "Extra"}, sim.Role{ID: "extra2", Name: "Extra"})
	return ws
}

// finders has the id that Find returns, for each service.
func finders(c *segmentapi.Client) map[string]func(context.Context, string) (string, error) {
	return map[string]func(context.Context, string) (string, error){
		"user": func(ctx context.Context, text string) (string, error) {
			user, err := c.Users.Find(ctx, text)
			if err != nil {
				return "", err
			}
			return user.ID, nil
		},
		"group": func(ctx context.Context, text string) (string, error) {
			group, err := c.Groups.Find(ctx, text)
			if err != nil {
				return "", err
			}
			return group.ID, nil
		},
		"source": func(ctx context.Context, text string) (string, error) {
			source, err := c.Sources.Find(ctx, text)
			if err != nil {
				return "", err
			}
			return source.ID, nil
		},
		"role": func(ctx context.Context, text string) (string, error) {
			role, err := c.Roles.Find(ctx, text)
			if err != nil {
				return "", err
			}
			return role.ID, nil
		},
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind, text, id string
		err            error
		names          string // A part of the error.
	}{
		{"user", "bob@example.com", "bob", nil, ""},
		{"user", " BOB@Example.com\n", "bob", nil, ""},
		{"user", "ann@EXAMPLE.com", "ann2", nil, ""},
		{"user", "ann@example.com", "", segmentapi.ErrAmbiguous, `the users ann and ann2 have the e-mail address "ann@example.com"`},
		{"user", "cy@example.com", "", segmentapi.ErrAmbiguous, "cy and cy2"},
		{"user", "kai@example.com", "", segmentapi.ErrNotFound, `no user has the e-mail address "kai@example.com"`},
		{"user", " ", "", segmentapi.ErrInvalidArgument, ""},
		{"group", "Ops", "ops", nil, ""},
		{"group", " oPs ", "ops", nil, ""},
		{"group", "DATA", "data2", nil, ""},
		{"group", "data", "", segmentapi.ErrAmbiguous, `the groups data and data2 have the name "data"`},
		{"group", "Twin", "", segmentapi.ErrAmbiguous, "twin and twin2"},
		{"group", "Op", "", segmentapi.ErrNotFound, `no group has the name "Op"`},
		{"group", "", "", segmentapi.ErrInvalidArgument, ""},
		{"source", "web-shop", "web", nil, ""},
		{"source", "Web-Shop-1", "web2", nil, ""},
		{"source", "our app", "ios", nil, ""},
		{"source", "no-name", "unnamed", nil, ""},
		{"source", "both", "both", nil, ""},
		{"source", "UP", "up", nil, ""},
		{"source", "uP", "", segmentapi.ErrAmbiguous, "up and up2"},
		{"source", "Web Shop", "", segmentapi.ErrAmbiguous, `the sources web and web2 have the name or slug "Web Shop"`},
		{"source", "prod", "", segmentapi.ErrAmbiguous, "prod and prod2"},
		{"source", "Web", "", segmentapi.ErrNotFound, `no source has the name or slug "Web"`},
		{"source", "\t", "", segmentapi.ErrInvalidArgument, ""},
		{"role", "Source Admin", "", segmentapi.ErrAmbiguous, `the roles odd and role-admin have the name "Source Admin"`},
		{"role", "Workspace Owner", owner, nil, ""},
		{"role", "workspace owner", owner, nil, ""},
		{"role", "Extra", "", segmentapi.ErrAmbiguous, "extra and extra2"},
		{"role", "Owner", "", segmentapi.ErrNotFound, `no role has the name "Owner"`},
		{"role", "", "", segmentapi.ErrInvalidArgument, ""},
	} {
		t.Run(c.kind+" "+c.text, func(t *testing.T) {
			t.Parallel()
			srv := sim.New(sameNames())
			client := connect(t, srv, segmentapi.WithPageSize(2))
			id, err := finders(client)[c.kind](t.Context(), c.text)
			if id != c.id || !errors.Is(err, c.err) || err != nil && !strings.Contains(err.Error(), c.names) {
				t.Errorf("%q, %v", id, err)
			}
			if segmentapi.FromSegment(err) {
				t.Errorf("the error is taken for one of Segment's: %v", err)
			}
			asked := simtest.Count(srv.Journal())
			pages := (len(srv.Workspace().Users) + 1) / 2
			if c.kind == "user" && !errors.Is(err, segmentapi.ErrInvalidArgument) && (asked["listUsers"] != pages || len(asked) != 1) {
				t.Errorf("requests %v, want all %d pages", asked, pages)
			}
			if errors.Is(err, segmentapi.ErrInvalidArgument) && len(asked) != 0 {
				t.Errorf("requests before the argument was refused: %v", asked)
			}
		})
	}
}

// A row that moves to the next page while the list is read is one row.
func TestFind_RowThatMoves(t *testing.T) {
	t.Parallel()
	srv := sim.New(sameNames())
	// The row after the first page is inserted before it, so the last of the first page is
	// the first of the second.
	simtest.Before(t, srv, "listUsers", 2, func(ws *sim.Workspace) {
		ws.Users = slices.Insert(ws.Users, 0, sim.User{ID: "new", Email: "new@example.com"})
	})
	ws := srv.Workspace()
	found, err := connect(t, srv, segmentapi.WithPageSize(2)).Users.Find(t.Context(), ws.Users[1].Email)
	if err != nil || found.ID != ws.Users[1].ID {
		t.Errorf("%+v, %v", found, err)
	}
}

// If the list itself is answered with 404, nothing is known about its rows: whoever would
// create what is not found must not do so.
func TestFind_ListNotFound(t *testing.T) {
	t.Parallel()
	operations := map[string]string{"user": "listUsers", "group": "listUserGroups", "source": "listSources", "role": "listRoles"}
	for kind, operation := range operations {
		for name, f := range map[string]sim.Fault{
			"of Segment": {Kind: sim.FaultStatus, Status: http.StatusNotFound},
			"of a proxy": {Kind: sim.FaultStatus, Status: http.StatusNotFound, Body: "<p>not found</p>", Header: http.Header{"Content-Type": {"text/html"}}},
		} {
			t.Run(kind+" "+name, func(t *testing.T) {
				t.Parallel()
				srv := sim.New(sameNames())
				f.Operation = operation
				simtest.Inject(t, srv, f)
				_, err := finders(connect(t, srv))[kind](t.Context(), "anything")
				var e *segmentapi.Error
				if err == nil || errors.Is(err, segmentapi.ErrNotFound) || !errors.As(err, &e) || e.StatusCode != http.StatusNotFound {
					t.Fatalf("error is %v", err)
				}
				if got := segmentapi.LacksFeature(err); got != (name == "of Segment") || got != segmentapi.FromSegment(err) {
					t.Errorf("lacks a feature: %t, of Segment: %t: %v", got, segmentapi.FromSegment(err), err)
				}
				if !strings.Contains(err.Error(), "the list was not found: 404 Not Found") {
					t.Error(err)
				}
			})
		}
	}
}
