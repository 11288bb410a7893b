package connector

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/conductorone/baton-sdk/pkg/types/sessions"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baton-segment/baton-segment/connector/internal/syncstate/statetest"
	"github.com/baton-segment/baton-segment/internal/sim"
)

// A sync from which too many have gone fails on each of its runs: those that are
// known to have gone are counted again in every process.
func TestEntitlements_TooManyGoneFailsEveryRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newInMemoryFixture(t, usersAndEmptyGroups(5, 2))
		subjects := usersAndGroups(f.listAll(t))
		gone := subjects[3:6] // Two users and a group.
		for _, operation := range []string{"getUser", "getUserGroup"} {
			f.inject(t, sim.Fault{Operation: operation, Kind: sim.FaultStatus, Status: http.StatusNotFound})
		}
		for _, r := range gone {
			_, err := f.entitlements(t.Context(), r)
			t.Logf("%s: %v", r.GetId().GetResource(), err)
		}
		f.sim.ClearFaults()
		for run := range 3 {
			next := f.inAnotherProcess()
			for _, r := range gone {
				_, err := next.entitlements(t.Context(), r)
				if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "3 of 7") {
					t.Errorf("run %d, %s: %v", run, r.GetId().GetResource(), err)
				}
				if _, err = next.grants(t.Context(), r); status.Code(err) != codes.FailedPrecondition {
					t.Errorf("run %d, grants of %s: %v", run, r.GetId().GetResource(), err)
				}
			}
		}
	})
}

// brokenPart is a store that cannot keep what has a prefix, once.
type brokenPart struct {
	*statetest.Memory
	prefix string
	failed atomic.Bool
}

var errBroken = errors.New("disk full")

func (b *brokenPart) SetMany(ctx context.Context, values map[string][]byte, opts ...sessions.SessionStoreOption) error {
	prefix, err := b.Key(ctx, "", opts)
	if err != nil || strings.HasPrefix(prefix, b.prefix) && !b.failed.Swap(true) {
		return errors.Join(errBroken, err)
	}
	return b.Memory.SetMany(ctx, values, opts...)
}

// If the count of those who have gone cannot be kept, the call fails, and the next
// one counts.
func TestEntitlements_GoneIsCountedInTheNextCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newInMemoryFixture(t, usersAndEmptyGroups(5, 0))
		f.session = &brokenPart{Memory: statetest.New(), prefix: "gone/"}
		user := f.listAll(t)[typeUser][0]
		f.inject(t, sim.Fault{Operation: "getUser", Kind: sim.FaultStatus, Status: http.StatusNotFound})
		ctx, logs := withObservedLog(t)
		if _, err := f.entitlements(ctx, user); !errors.Is(err, errBroken) {
			t.Errorf("%v", err)
		}
		must(f.entitlements(ctx, user))(t)
		if n := logs.FilterMessageSnippet(whyVanished).Len(); n != 1 {
			t.Errorf("%d warnings", n)
		}
	})
}

// The list of sources may be read again after the detail of a user, in a resumed
// sync. Grants go by the list as it is then: a source that has come must not get
// the row of an unlisted one.
func TestGrants_ListIsReadAgainAfterTheDetail(t *testing.T) {
	t.Parallel()
	ws := full()
	ws.Users[1].Permissions = []sim.Permission{{RoleID: "src", Resources: []sim.Resource{{ID: "late", Type: "SOURCE"}}}}
	f := newFixture(t, ws)
	user := rowWithID(t, f.listAll(t)[typeUser], "u2")
	must(f.entitlements(t.Context(), user))(t)
	f.sim.Update(func(ws *sim.Workspace) { ws.Sources = append(ws.Sources, sim.Source{ID: "late", Slug: "late"}) })
	must(f.listType(t.Context(), typeSource))(t)
	for _, g := range must(f.grants(t.Context(), user))(t) {
		if g.GetEntitlement().GetResource().GetId().GetResource() == "late" && g.GetEntitlement().GetResource().GetDisplayName() != "" {
			t.Errorf("%s carries the resource %v", g.GetId(), g.GetEntitlement().GetResource())
		}
	}
}
