package syncfile

import (
	"fmt"
	"strings"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	rs "github.com/conductorone/baton-sdk/pkg/types/resource"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/baton-segment/baton-segment/segmentapi"
	"github.com/baton-segment/baton-segment/segmentapi/access"
)

// read reads the rows of the file.
func (r reader) read() (*access.Snapshot, error) {
	s := &access.Snapshot{Held: map[access.Ref][]access.Target{}}
	labels := map[string][]segmentapi.Label{}
	groups := map[string]int{}
	unlistedRoles := map[string]string{} // To their names.
	for _, typeID := range types {
		err := r.eachResource(typeID, func(row *v2.Resource) error {
			id, name, profile := row.GetId().GetResource(), row.GetDisplayName(), rs.GetProfile(row)
			unlisted := isUnlisted(profile)
			switch typeID {
			case access.TypeWorkspace:
				if err := r.checkWorkspace(profile); err != nil {
					return err
				}
				s.Workspace = segmentapi.Workspace{ID: id, Name: name, Slug: text(profile, "slug")}
			case access.TypeUser, access.TypeInvite:
				s.People = append(s.People, person(typeID, id, name, profile))
			case access.TypeGroup:
				groups[id] = len(s.Groups)
				s.Groups = append(s.Groups, access.Group{ID: id, Name: name})
			case access.TypeRole:
				if unlisted {
					unlistedRoles[id] = name
				} else {
					s.Roles = append(s.Roles, segmentapi.Role{ID: id, Name: name, Description: row.GetDescription()})
				}
			case access.TypeLabel:
				labels[id] = labelsOf(profile)
				if set := labels[id]; !unlisted && len(set) == 1 {
					s.Labels = append(s.Labels, set[0])
				}
			default:
				s.Resources = append(s.Resources, access.Resource{
					Type: typeID, ID: id, Name: name, Slug: text(profile, "slug"), Labels: labelsOf(profile), Unlisted: unlisted,
				})
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if s.Workspace.ID == "" {
		return nil, unusable(r.path, "there is no workspace in it: sync again into a new file")
	}
	if err := r.readGrants(s, groups, labels); err != nil {
		return nil, err
	}
	return s, r.nameRoles(s, unlistedRoles)
}

func (r reader) eachResource(typeID string, do func(*v2.Resource) error) error {
	for token := ""; ; {
		resp, err := r.store.ListResources(r.ctx, v2.ResourcesServiceListResourcesRequest_builder{ResourceTypeId: typeID, PageToken: token}.Build())
		if err != nil {
			return fmt.Errorf("%s: reading its resources of the type %s: %w", r.path, typeID, err)
		}
		for _, row := range resp.GetList() {
			if err = do(row); err != nil {
				return err
			}
		}
		if token = resp.GetNextPageToken(); token == "" {
			return nil
		}
	}
}

// schema is the version of profiles that this package reads.
const schema = 1

// checkWorkspace refuses the file of another connector, and of a version whose rows say
// less, or something else.
func (r reader) checkWorkspace(profile *structpb.Struct) error {
	if text(profile, "connector") != "baton-segment" {
		return unusable(r.path, "another connector wrote it, or a version of baton-segment that is too old: sync into a new file with this version")
	}
	if n, _ := rs.GetProfileInt64Value(profile, "schema"); n != schema {
		return unusable(r.path, "its rows have the schema %d, and this version reads %d: use the same version of baton-segment and segment-iam", n, schema)
	}
	return nil
}

func person(typeID, id, name string, profile *structpb.Struct) access.Person {
	email := text(profile, "email")
	if typeID == access.TypeInvite || name == email || name == id {
		name = "" // The display name falls back to these.
	}
	return access.Person{Type: typeID, ID: id, Email: email, Name: name}
}

func text(profile *structpb.Struct, field string) string {
	value, _ := rs.GetProfileStringValue(profile, field)
	return value
}

func isUnlisted(profile *structpb.Struct) bool {
	listed, ok := profile.GetFields()["listed"]
	return ok && !listed.GetBoolValue()
}

// labelsOf reads the labels of a profile: a list of the form key=value.
func labelsOf(profile *structpb.Struct) []segmentapi.Label {
	var labels []segmentapi.Label
	for _, value := range profile.GetFields()["labels"].GetListValue().GetValues() {
		// A long one is not the id of its own set, but it is written like one.
		parsed, _ := access.ParseLabelID(value.GetStringValue())
		labels = append(labels, parsed...)
	}
	return labels
}

// readGrants adds who holds what, and who is in which group.
func (r reader) readGrants(s *access.Snapshot, groups map[string]int, labels map[string][]segmentapi.Label) error {
	for token := ""; ; {
		resp, err := r.store.ListGrants(r.ctx, v2.GrantsServiceListGrantsRequest_builder{PageToken: token}.Build())
		if err != nil {
			return fmt.Errorf("%s: reading its grants: %w", r.path, err)
		}
		for _, g := range resp.GetList() {
			if isDirect(g) {
				addGrant(s, g, groups, labels)
			}
		}
		if token = resp.GetNextPageToken(); token == "" {
			return nil
		}
	}
}

// isDirect reports whether Segment shows a grant itself. One that only a group passes on
// has the group's entitlement as its only source.
func isDirect(g *v2.Grant) bool {
	sources := g.GetSources().GetSources()
	_, own := sources[g.GetEntitlement().GetId()]
	return len(sources) == 0 || own
}

func addGrant(s *access.Snapshot, g *v2.Grant, groups map[string]int, labels map[string][]segmentapi.Label) {
	on := g.GetEntitlement().GetResource().GetId()
	principal := access.Ref{Type: g.GetPrincipal().GetId().GetResourceType(), ID: g.GetPrincipal().GetId().GetResource()}
	slug := strings.TrimPrefix(g.GetEntitlement().GetId(), on.GetResourceType()+":"+on.GetResource()+":")
	t := access.Target{Type: on.GetResourceType(), ID: on.GetResource(), RoleID: slug}
	switch on.GetResourceType() {
	case access.TypeWorkspace: // All users are members.
		return
	case access.TypeGroup:
		if i, ok := groups[on.GetResource()]; ok {
			s.Groups[i].Members = append(s.Groups[i].Members, principal)
		}
		return
	case access.TypeRole:
		t.RoleID = on.GetResource()
	case access.TypeLabel:
		t.Labels = labels[on.GetResource()]
	}
	s.Held[principal] = append(s.Held[principal], t)
}

// nameRoles adds the names of roles that Segment does not list: those of the rows of the
// ones that are held on the workspace, and those of the entitlements of the others.
func (r reader) nameRoles(s *access.Snapshot, known map[string]string) error {
	nameless := map[string]string{}
	for _, held := range s.Held {
		for _, t := range held {
			nameless[t.RoleID] = known[t.RoleID]
		}
	}
	for _, role := range s.Roles {
		delete(nameless, role.ID)
	}
	if len(nameless) == 0 {
		return nil
	}
	for token := ""; ; {
		resp, err := r.store.ListEntitlements(r.ctx, v2.EntitlementsServiceListEntitlementsRequest_builder{PageToken: token}.Build())
		if err != nil {
			return fmt.Errorf("%s: reading its entitlements: %w", r.path, err)
		}
		for _, e := range resp.GetList() {
			if known, ok := nameless[e.GetSlug()]; ok && known == "" {
				nameless[e.GetSlug()] = e.GetDisplayName()
			}
		}
		if token = resp.GetNextPageToken(); token == "" {
			break
		}
	}
	for _, held := range s.Held {
		for i := range held {
			held[i].RoleName = nameless[held[i].RoleID]
		}
	}
	return nil
}
