package segmentapi

// A Workspace is what a token gives access to: a token belongs to exactly one.
type Workspace struct {
	ID   string
	Slug string
	Name string
}

// A User is a person who has joined the workspace. Name may be empty.
//
// Permissions is nil if the answer had none: Segment sends a user's permissions
// with [UserService.Get] and leaves them out of lists. Get never returns nil
// Permissions.
type User struct {
	ID          string
	Name        string
	Email       string
	Permissions []Permission
}

// A Group is a Segment user group. Its members are users and pending invites.
//
// MemberCount is Segment's count; whether it includes pending invites is not
// documented. Permissions is nil if the answer had none, as in lists.
type Group struct {
	ID          string
	Name        string
	MemberCount int
	Permissions []Permission
}

// A Role is one of Segment's built-in roles. Match roles by ID: Segment has
// renamed roles, but ids stay the same.
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

// A Scope is what a role is held on: the whole workspace, everything in it that
// carries all of Labels, or one resource. [OnWorkspace], [OnLabels], [OnSource],
// [OnFunction], [OnSpace] and [OnWarehouse] make scopes.
type Scope struct {
	Type ScopeType
	// ID is that of the resource or the workspace. Scopes that were read always have one. In
	// methods that change access, a workspace without an id is that of the token.
	ID string
	// Labels restrict a workspace scope to resources that carry every one of them.
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

// A Source sends events into Segment. Name may be empty.
//
// Its write keys and settings are left out on purpose: a write key allows sending
// data in the source's name, and reviewing access does not need it.
type Source struct {
	ID      string
	Slug    string
	Name    string
	Enabled bool
	// Kind is what the catalog calls this sort of source, such as "iOS".
	Kind string
	// Labels are in the order in which Segment sent them.
	Labels []Label
}

// A Warehouse is a warehouse that Segment loads data into.
//
// Its settings are left out on purpose, except for the name: they may hold
// connection details and passwords.
type Warehouse struct {
	ID string
	// Name is the name in the settings, without the JSON quotes that some have, or empty
	// if that is missing or not a string.
	Name    string
	Enabled bool
	// Kind is what the catalog calls this sort of warehouse, such as "Postgres".
	Kind string
}

// A FunctionType is where a function runs. Values other than the constants are
// passed through in both directions.
type FunctionType string

// The function types of API version 57.3.0, and FunctionInsertTransformation,
// which came with 62.0.6: a workspace that does not support it answers 400 or 422
// ([ErrBadRequest], [ErrInvalid]).
const (
	FunctionDestination          FunctionType = "DESTINATION"
	FunctionInsertDestination    FunctionType = "INSERT_DESTINATION"
	FunctionInsertSource         FunctionType = "INSERT_SOURCE"
	FunctionSource               FunctionType = "SOURCE"
	FunctionInsertTransformation FunctionType = "INSERT_TRANSFORMATION"
)

// FunctionTypes returns the constants. The one that not every workspace supports
// comes last. Functions are listed one type at a time.
func FunctionTypes() []FunctionType {
	return []FunctionType{FunctionDestination, FunctionInsertDestination, FunctionInsertSource, FunctionSource, FunctionInsertTransformation}
}

// A Function is custom code that Segment runs. Name is its display name and may
// be empty, as may Description.
//
// Its code and settings are left out on purpose: they may hold secrets.
type Function struct {
	ID          string
	Name        string
	Description string
	Type        FunctionType
}

// A Space is a Unify space. ID is as Segment sent it: some of its endpoints
// write "spa_" before the id of a space and some do not.
type Space struct {
	ID   string
	Slug string
	Name string
}

// A Label is a key and a value that sources and spaces carry. Description is free
// text and is ignored when labels are compared.
type Label struct {
	Key         string
	Value       string
	Description string
}
