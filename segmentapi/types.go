package segmentapi

// A Workspace is what a token opens: a token belongs to exactly one.
type Workspace struct {
	ID   string
	Slug string
	Name string
}

// A User is a person who has joined the workspace. Name may be empty.
//
// Permissions is nil when the answer did not say: Segment sends a user's
// permissions with [UserService.Get] and leaves them out of lists. Get never
// returns nil Permissions.
type User struct {
	ID          string
	Name        string
	Email       string
	Permissions []Permission
}

// A Group is a Segment user group. Its members are users and pending invites.
//
// MemberCount is what Segment says; whether it counts pending invites is not
// documented. Permissions is nil when the answer did not say, as in lists.
type Group struct {
	ID          string
	Name        string
	MemberCount int
	Permissions []Permission
}

// A Role is one of Segment's built-in roles. Match roles by ID: Segment has
// renamed roles, ids stay.
type Role struct {
	ID          string
	Name        string
	Description string
}

// A Permission is one role held on one or more scopes.
type Permission struct {
	RoleID   string
	RoleName string
	Scopes   []Scope
}

// A Scope is what a role is held on: the whole workspace, everything in it
// that carries all of Labels, or one resource.
type Scope struct {
	Type ScopeType
	ID   string
	// Labels restrict a workspace scope to what carries every one of them.
	Labels []Label
}

// A ScopeType is the kind of thing a role is held on. Values other than the
// constants are passed through as Segment sent them.
type ScopeType string

// The scope types of API version 57.3.0.
const (
	ScopeWorkspace ScopeType = "WORKSPACE"
	ScopeSource    ScopeType = "SOURCE"
	ScopeWarehouse ScopeType = "WAREHOUSE"
	ScopeFunction  ScopeType = "FUNCTION"
	ScopeSpace     ScopeType = "SPACE"
)

// A Label is a key and value that sources and spaces carry. Description is
// free text; it takes no part in comparing labels.
type Label struct {
	Key         string
	Value       string
	Description string
}
