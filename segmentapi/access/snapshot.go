package access

import (
	"cmp"
	"time"

	"github.com/baton-segment/baton-segment/segmentapi"
)

// The types of what has access, and of the workspace itself.
const (
	TypeWorkspace = "workspace"
	TypeUser      = "user"
	TypeInvite    = "invite"
	TypeGroup     = "group"
)

// A Snapshot is what is known of a workspace: who is in it, and who holds which role on
// what. [Read] makes one from the API. The answers are methods; they change nothing and
// make no requests.
//
// Ids are those that lists return: a space that a permission names in the other of its
// two forms has the id of its list here.
type Snapshot struct {
	Workspace segmentapi.Workspace
	// Began is when the reading of the workspace began. Later changes may be missing.
	Began  time.Time
	People []Person
	Groups []Group
	// Roles are those that Segment lists. A role that is held and not listed is known
	// from the [Target] that names it.
	Roles []segmentapi.Role
	// Resources are the sources, functions, spaces and warehouses, and those that only
	// a permission names.
	Resources []Resource
	// Labels are those that the workspace has, whether or not a role is held on them.
	Labels []segmentapi.Label
	// Held is what each user and group holds itself.
	Held map[Ref][]Target
	// Skipped are the types of resources that the workspace's plan does not include.
	Skipped []string
	// Unknown is how many scopes of permissions are of a kind that this package does not
	// know, by kind. No answer includes them.
	Unknown map[string]int
}

// A Ref refers to a person or a group of a snapshot.
type Ref struct {
	// Type is [TypeUser], [TypeInvite] or [TypeGroup].
	Type string
	ID   string
}

// A Person is a user of the workspace, or someone with a pending invite. Segment does
// not show what an invite grants.
type Person struct {
	// Type is [TypeUser] or [TypeInvite]. The id of an invite is its e-mail.
	Type  string `json:"type"`
	ID    string `json:"id"`
	Email string `json:"email"`
	Name  string `json:"name"`
}

// Ref returns the reference to the person.
func (p Person) Ref() Ref { return Ref{Type: p.Type, ID: p.ID} }

// A Group is a user group with its members.
type Group struct {
	ID   string
	Name string
	// Members are users, and invites that are to join when they are accepted.
	Members []Ref
}

// Ref returns the reference to the group.
func (g Group) Ref() Ref { return Ref{Type: TypeGroup, ID: g.ID} }

// A Resource is a source, function, space or warehouse.
type Resource struct {
	// Type is [TypeSource], [TypeFunction], [TypeSpace] or [TypeWarehouse].
	Type string
	ID   string
	Name string
	Slug string
	// Labels are those of a source. Segment does not show the labels of a space.
	Labels []segmentapi.Label
	// Unlisted is set if a permission names the resource and its list does not have it:
	// it may have been deleted.
	Unlisted bool
}

// A Thing is anything with an id that an answer is about.
type Thing struct {
	// Type is one of the constants of this package.
	Type string `json:"type"`
	ID   string `json:"id"`
	Name string `json:"name"`
}

// WorkspaceThing returns the workspace as answers name it.
func (s *Snapshot) WorkspaceThing() Thing {
	return Thing{Type: TypeWorkspace, ID: s.Workspace.ID, Name: cmp.Or(s.Workspace.Name, s.Workspace.Slug, s.Workspace.ID)}
}

func (g Group) thing() Thing { return Thing{Type: TypeGroup, ID: g.ID, Name: cmp.Or(g.Name, g.ID)} }

func (r Resource) thing() Thing {
	return Thing{Type: r.Type, ID: r.ID, Name: cmp.Or(r.Name, r.Slug, r.ID)}
}

func labelThing(labels []segmentapi.Label) Thing {
	return Thing{Type: TypeLabel, ID: LabelID(labels), Name: LabelText(labels)}
}
