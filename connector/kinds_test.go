package connector

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/connectorbuilder"
	rs "github.com/conductorone/baton-sdk/pkg/types/resource"
	"github.com/google/go-cmp/cmp"
)

// The zero connector lists its types and its metadata: the capabilities file is
// made from it.
func TestResourceSyncers_ZeroConnector(t *testing.T) {
	t.Parallel()
	var got []string
	for _, s := range (&Connector{}).ResourceSyncers(t.Context()) {
		got = append(got, s.ResourceType(t.Context()).GetId())
	}
	if diff := cmp.Diff([]string{
		typeWorkspace, typeUser, typeInvite, typeGroup, typeRole,
		typeSource, typeWarehouse, typeFunction, typeSpace, typeLabel,
	}, got); diff != "" {
		t.Errorf("types (-want +got):\n%s", diff)
	}
	if md := must((&Connector{}).Metadata(t.Context()))(t); md.GetDisplayName() == "" {
		t.Error("the connector has no name")
	}
}

// The SDK derives the capabilities from the interfaces that each syncer
// implements.
func TestCapabilities(t *testing.T) {
	t.Parallel()
	server := must(connectorbuilder.NewConnector(t.Context(), &Connector{}))(t)
	metadata := must(server.GetMetadata(t.Context(), &v2.ConnectorServiceGetMetadataRequest{}))(t).GetMetadata()
	got := map[string]string{}
	for _, row := range metadata.GetCapabilities().GetResourceTypeCapabilities() {
		var names []string
		for _, capability := range row.GetCapabilities() {
			names = append(names, strings.TrimPrefix(capability.String(), "CAPABILITY_"))
		}
		slices.Sort(names)
		got[row.GetResourceType().GetId()] = strings.Join(names, " ")
	}
	want := map[string]string{
		typeWorkspace: "PROVISION SYNC TARGETED_SYNC",
		typeUser:      "RESOURCE_DELETE SYNC TARGETED_SYNC",
		typeInvite:    "ACCOUNT_PROVISIONING RESOURCE_DELETE SYNC TARGETED_SYNC",
		typeGroup:     "PROVISION RESOURCE_CREATE RESOURCE_DELETE SYNC TARGETED_SYNC",
		typeRole:      "PROVISION SYNC TARGETED_SYNC",
		typeSource:    "PROVISION SYNC TARGETED_SYNC",
		typeFunction:  "PROVISION SYNC TARGETED_SYNC",
		typeSpace:     "PROVISION SYNC TARGETED_SYNC",
		typeLabel:     "PROVISION SYNC TARGETED_SYNC",
		typeWarehouse: "SYNC TARGETED_SYNC",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("capabilities (-want +got):\n%s", diff)
	}
	credentials := metadata.GetCapabilities().GetCredentialDetails().GetCapabilityAccountProvisioning()
	if o := credentials.GetSupportedCredentialOptions(); len(o) != 1 || o[0] != v2.CapabilityDetailCredentialOption_CAPABILITY_DETAIL_CREDENTIAL_OPTION_NO_PASSWORD {
		t.Errorf("credentials: %v", o)
	}
}

func TestList_RowsOfEachType(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 2, 7, 1000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			f := newPagedFixture(t, small(), size)
			got := map[string]string{}
			for typeID, rows := range f.listAll(t) {
				for _, r := range rows {
					if r.GetId().GetResourceType() != typeID || r.GetParentResourceId() != nil {
						t.Errorf("%v has a foreign type or a parent", r.GetId())
					}
					got[typeID+" "+r.GetId().GetResource()] = r.GetDisplayName()
				}
			}
			want := map[string]string{
				"workspace wksp": "Small",
				"user u1":        "Ada Lovelace King", "user u2": "bo@example.com", "user u3": "Cy",
				"group g1": "Owners", "group g2": "g2", "invite new@example.com": "new@example.com",
				"source src": "Web", "label env=prod": "env=prod",
				"role owner": "Workspace Owner", "role member": "Minimal Workspace Access",
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
		})
	}
}

// Every row passes the validation of the SDK, for any answer of Segment, because
// one row that fails ends a sync.
func TestList_RowsPassValidation(t *testing.T) {
	t.Parallel()
	ws := small()
	ws.Users[1].Email = "not an address"
	ws.Users[2].Name = strings.Repeat("é", 2000)
	ws.Roles[0].Description = strings.Repeat("d", 5000)
	ws.Groups[0].Name = " \t "
	f := newFixture(t, ws)
	for typeID, rows := range f.listAll(t) {
		for _, r := range rows {
			if err := r.ValidateAll(); err != nil || r.GetDisplayName() == "" {
				t.Errorf("%s %q: %v", typeID, r.GetDisplayName(), err)
			}
			if trait, err := rs.GetUserTrait(r); err == nil {
				if err := trait.ValidateAll(); err != nil {
					t.Errorf("%v: %v", r.GetId(), err)
				}
			}
		}
	}
}
