package connector

import (
	"maps"
	"slices"
	"strings"
	"testing"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/types/entitlement"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/segmentapi"
	"github.com/baton-segment/baton-segment/segmentapi/access"
)

// An entitlement id is parsed into the parts that it was made from.
func TestParseEntitlementID(t *testing.T) {
	t.Parallel()
	types := append(scopedTypes(), typeRole, typeGroup, typeWorkspace)
	rapid.Check(t, func(t *rapid.T) {
		typeID := rapid.SampledFrom(types).Draw(t, "type")
		id := rapid.StringN(1, 40, -1).Draw(t, "id")
		roleID := rapid.StringMatching(`[^:]+`).Draw(t, "role")
		slug := roleID
		switch typeID {
		case typeRole:
			slug, roleID = slugAssigned, id
		case typeGroup, typeWorkspace:
			slug, roleID = slugMember, slugMember
		case typeLabel:
			label := rapid.Custom(func(t *rapid.T) segmentapi.Label {
				return segmentapi.Label{Key: rapid.String().Draw(t, "key"), Value: rapid.String().Draw(t, "value")}
			})
			id = access.LabelID(rapid.SliceOfN(label, 1, 4).Draw(t, "labels"))
		}
		whole := entitlement.NewEntitlementID(stub(typeID, id), slug)
		got, err := parseEntitlementID(whole)
		if err != nil || got.typeID != typeID || got.id != id || got.slug != slug || typeID != typeGroup && typeID != typeWorkspace && got.target().RoleID != roleID || got.String() != whole {
			t.Fatalf("%q is %+v, %v", whole, got, err)
		}
	})
}

// A parsed id can be formatted again. Every other id is refused.
func TestParseEntitlementID_Invalid(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.OneOf(rapid.SampledFrom([]string{"", typeRole, typeSource, typeUser, typeInvite, typeGroup, slugMember, slugAssigned}), rapid.String())
		id := strings.Join(rapid.SliceOfN(part, 0, 5).Draw(t, "parts"), ":")
		got, err := parseEntitlementID(id)
		switch {
		case err == nil && (got.id == "" || got.slug == "" || entitlement.NewEntitlementID(stub(got.typeID, got.id), got.slug) != id):
			t.Fatalf("%q was read as %+v", id, got)
		case err != nil && (status.Code(err) != codes.InvalidArgument || got.typeID != "" || err.Error() == ""):
			t.Fatalf("%q: %+v, %v", id, got, err)
		}
	})
	for id, says := range map[string]string{
		"":                       "type:resource:slug",
		"source":                 "type:resource:slug",
		"source:s1":              "type:resource:slug",
		"source::r1":             "lacks its resource",
		"source:s1:":             "lacks its resource or its slug",
		"group:g1:owner":         `a group has the entitlement "member" only`,
		"workspace:w1:assigned":  `a workspace has the entitlement "member" only`,
		"role:r1:member":         `a role has the entitlement "assigned" only`,
		"user:u1:member":         `of type "user", which has no entitlements`,
		"invite:a@b.com:member":  `of type "invite", which has no entitlements`,
		"destination:d1:r1":      `of type "destination", which has no entitlements`,
		":s1:r1":                 `of type "", which has no entitlements`,
		"source :s1:r1":          `of type "source ", which has no entitlements`,
		"source:s1:r1:user:u1:":  "lacks",
		"Source:s1:r1":           `of type "Source", which has no entitlements`,
		"role:r1:assigned:group": "only",
	} {
		if _, err := parseEntitlementID(id); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", id, err, says)
		}
	}
}

// The id of every entitlement in a sync has the type and id of its resource.
func TestParseEntitlementID_EveryGrantOfASync(t *testing.T) {
	t.Parallel()
	for name, ws := range map[string]*sim.Workspace{"demo": sim.Demo(), "hostile": sim.Hostile()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, ws)
			rows := f.listAll(t)
			seen := map[string]bool{}
			for _, r := range slices.Concat(rows[typeUser], rows[typeGroup]) {
				must(f.entitlements(t.Context(), r))(t)
				for _, g := range must(f.grants(t.Context(), r))(t) {
					e := g.GetEntitlement()
					got, err := parseEntitlementID(e.GetId())
					if id := e.GetResource().GetId(); err != nil || got.typeID != id.GetResourceType() || got.id != id.GetResource() {
						t.Errorf("%s is %+v, %v", e.GetId(), got, err)
					}
					seen[got.typeID] = true
				}
			}
			if len(seen) < 7 {
				t.Errorf("only %v", slices.Collect(maps.Keys(seen)))
			}
		})
	}
}

// An entitlement whose resource is not the one in its id is refused.
func TestReadEntitlement_OtherResource(t *testing.T) {
	t.Parallel()
	for _, id := range []*v2.ResourceId{resourceID(typeSource, "other"), resourceID(typeSpace, "s1"), resourceID("", "s1"), {}} {
		e := v2.Entitlement_builder{Id: "source:s1:r1", Resource: v2.Resource_builder{Id: id}.Build()}.Build()
		if got, err := readEntitlement(e, typeSource); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "that it comes with") {
			t.Errorf("with %v: %+v, %v", id, got, err)
		}
	}
	for _, r := range []*v2.Resource{nil, {}, stub(typeSource, "s1")} {
		e := v2.Entitlement_builder{Id: "source:s1:r1", Resource: r}.Build()
		if got, err := readEntitlement(e, typeSource); err != nil || got.String() != e.GetId() {
			t.Errorf("with %v: %+v, %v", r, got, err)
		}
	}
	if _, err := readEntitlement(bareEntitlement("source:s1:r1"), typeGroup); status.Code(err) != codes.InvalidArgument {
		t.Errorf("as a group's: %v", err)
	}
}
