package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	batonv1 "github.com/conductorone/baton-sdk/pb/baton/v1"
	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/annotations"
	"github.com/conductorone/baton-sdk/pkg/dotc1z"
	"github.com/conductorone/baton-sdk/pkg/dotc1z/c1zstore"
	rs "github.com/conductorone/baton-sdk/pkg/types/resource"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// rows are the rows of a sync file, as messages of the SDK.
type rows struct {
	resources    []*v2.Resource
	entitlements []*v2.Entitlement
	grants       []*v2.Grant
}

// openFile opens a sync file until the test ends.
func openFile(t testingT, file string) c1zstore.Store {
	t.Helper()
	ctx := t.Context()
	store, err := dotc1z.NewStore(ctx, file, dotc1z.WithReadOnly(true))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
	})
	return store
}

// readFile reads a sync file through the SDK.
func readFile(t testingT, file string) rows {
	t.Helper()
	ctx := t.Context()
	store := openFile(t, file)
	var all rows
	types := pages(t, func(token string) ([]*v2.ResourceType, string, error) {
		r, err := store.ListResourceTypes(ctx, &v2.ResourceTypesServiceListResourceTypesRequest{PageToken: token})
		return r.GetList(), r.GetNextPageToken(), err
	})
	for _, rt := range types {
		all.resources = append(all.resources, pages(t, func(token string) ([]*v2.Resource, string, error) {
			r, err := store.ListResources(ctx, &v2.ResourcesServiceListResourcesRequest{ResourceTypeId: rt.GetId(), PageToken: token})
			return r.GetList(), r.GetNextPageToken(), err
		})...)
	}
	all.entitlements = pages(t, func(token string) ([]*v2.Entitlement, string, error) {
		r, err := store.ListEntitlements(ctx, &v2.EntitlementsServiceListEntitlementsRequest{PageToken: token})
		return r.GetList(), r.GetNextPageToken(), err
	})
	all.grants = pages(t, func(token string) ([]*v2.Grant, string, error) {
		r, err := store.ListGrants(ctx, &v2.GrantsServiceListGrantsRequest{PageToken: token})
		return r.GetList(), r.GetNextPageToken(), err
	})
	return all
}

func pages[T any](t testingT, list func(token string) ([]T, string, error)) []T {
	t.Helper()
	var all []T
	for token := ""; ; {
		page, next, err := list(token)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page...)
		if token = next; token == "" {
			return all
		}
	}
}

// readWithBaton reads a sync file with the baton CLI, as people do.
func readWithBaton(t *testing.T, file string) rows {
	t.Helper()
	var resources batonv1.ResourceListOutput
	var entitlements batonv1.EntitlementListOutput
	var grants batonv1.GrantListOutput
	for command, into := range map[string]proto.Message{"resources": &resources, "entitlements": &entitlements, "grants": &grants} {
		out := must(t, nil, "baton", command, "-f", file, "-o", "json").stdout
		if err := protojson.Unmarshal([]byte(out), into); err != nil {
			t.Fatalf("baton %s: %v", command, err)
		}
	}
	var all rows
	for _, r := range resources.GetResources() {
		all.resources = append(all.resources, r.GetResource())
	}
	for _, e := range entitlements.GetEntitlements() {
		all.entitlements = append(all.entitlements, e.GetEntitlement())
	}
	for _, g := range grants.GetGrants() {
		all.grants = append(all.grants, g.GetGrant())
	}
	return all
}

// contents converts messages to the types of the oracle.
func (r rows) contents(t testingT) contents {
	t.Helper()
	var c contents
	for _, m := range r.resources {
		c.Resources = append(c.Resources, resourceRow(t, m))
	}
	for _, m := range r.entitlements {
		c.Entitlements = append(c.Entitlements, entitlementRow(m))
	}
	for _, m := range r.grants {
		c.Grants = append(c.Grants, grantRow(t, m))
	}
	c.sort()
	return c
}

func ref(r *v2.Resource) string {
	return r.GetId().GetResourceType() + ":" + r.GetId().GetResource()
}

func resourceRow(t testingT, m *v2.Resource) resource {
	t.Helper()
	row := resource{
		Type:    m.GetId().GetResourceType(),
		ID:      m.GetId().GetResource(),
		Name:    m.GetDisplayName(),
		Profile: rs.GetProfile(m).AsMap(),
	}
	var trait v2.UserTrait
	annos := annotations.Annotations(m.GetAnnotations())
	isUser, err := annos.Pick(&trait)
	if err != nil {
		t.Fatal(err)
	}
	if !isUser {
		return row
	}
	for _, email := range trait.GetEmails() {
		row.Email += email.GetAddress()
	}
	row.Login = trait.GetLogin()
	status := trait.GetStatus().GetStatus() //nolint:staticcheck // Deprecated, but read by baton's own actions.
	row.Status = fmt.Sprintf("%s %q %s", rs.GetStatus(m).GetStatus(), rs.GetStatus(m).GetDetails(), status)
	return row
}

func entitlementRow(m *v2.Entitlement) entitlement {
	annos := annotations.Annotations(m.GetAnnotations())
	return entitlement{
		ID: m.GetId(), Resource: ref(m.GetResource()), Slug: m.GetSlug(), Name: m.GetDisplayName(),
		Immutable: annos.Contains(&v2.EntitlementImmutable{}),
	}
}

func grantRow(t testingT, m *v2.Grant) grant {
	t.Helper()
	row := grant{ID: m.GetId(), Entitlement: m.GetEntitlement().GetId(), Principal: ref(m.GetPrincipal())}
	annos := annotations.Annotations(m.GetAnnotations())
	var expandable v2.GrantExpandable
	expands, err := annos.Pick(&expandable)
	if err != nil {
		t.Fatal(err)
	}
	if expands {
		row.Expands = strings.Join(expandable.GetEntitlementIds(), " ")
		if to := expandable.GetResourceTypeIds(); !expandable.GetShallow() || !slices.Equal(to, []string{typeUser}) {
			row.Expands += fmt.Sprintf(" shallow=%t to=%v", expandable.GetShallow(), to)
		}
	}
	row.Immutable = annos.Contains(&v2.GrantImmutable{})
	for source := range m.GetSources().GetSources() {
		row.Sources = append(row.Sources, source)
	}
	slices.Sort(row.Sources)
	return row
}

// text formats the rows for a golden file: one in a line, sorted.
func (r rows) text(t testingT) string {
	t.Helper()
	var lines []string
	for _, m := range r.resources {
		row := resourceRow(t, m)
		line := fmt.Sprintf("resource     %s:%s %q", row.Type, row.ID, row.Name)
		if d := m.GetDescription(); d != "" {
			line += fmt.Sprintf(" description=%q", d)
		}
		if row.Status != "" {
			line += fmt.Sprintf(" email=%s login=%s status=%s", row.Email, row.Login, row.Status)
		}
		if len(row.Profile) > 0 {
			line += " profile=" + profileText(t, row.Profile)
		}
		lines = append(lines, line)
	}
	for _, m := range r.entitlements {
		line := fmt.Sprintf("entitlement  %s %q description=%q", m.GetId(), m.GetDisplayName(), m.GetDescription())
		for _, to := range m.GetGrantableTo() {
			line += " to=" + to.GetId()
		}
		if entitlementRow(m).Immutable {
			line += " immutable"
		}
		lines = append(lines, line)
	}
	for _, m := range r.grants {
		row := grantRow(t, m)
		line := "grant        " + row.ID
		if row.Expands != "" {
			line += " expands=" + row.Expands
		}
		if len(row.Sources) > 0 {
			line += " sources=" + strings.Join(row.Sources, ",")
		}
		if row.Immutable {
			line += " immutable"
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}

func profileText(t testingT, profile map[string]any) string {
	t.Helper()
	b, err := json.Marshal(profile) // Keys are sorted.
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
