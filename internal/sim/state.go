package sim

// A Workspace is the whole state of a simulated Segment workspace. The zero value is
// an empty workspace without an id. Empty, Demo, Hostile and Sized return others.
//
// Slices keep the order in which lists return their rows. Optional strings are
// pointers if Segment is known to omit the field or send null. The JSON form is that of
// the control plane, not that of Segment.
type Workspace struct {
	ID   string `json:"id"`
	Slug string `json:"slug"`
	Name string `json:"name"`

	Users      []User      `json:"users"`
	Groups     []Group     `json:"groups"`
	Invites    []Invite    `json:"invites"`
	Roles      []Role      `json:"roles"`
	Labels     []Label     `json:"labels"`
	Sources    []Source    `json:"sources"`
	Warehouses []Warehouse `json:"warehouses"`
	Functions  []Function  `json:"functions"`
	Spaces     []Space     `json:"spaces"`
}

// A User is a member of the workspace. Name may be empty.
type User struct {
	ID          string       `json:"id"`
	Name        string       `json:"name"`
	Email       string       `json:"email"`
	Permissions []Permission `json:"permissions"`
}

// A Group is a user group. Members has e-mail addresses exactly as they are stored,
// each of a user or a pending invite. An address that is neither counts as a member, but
// no list has it.
type Group struct {
	ID          string       `json:"id"`
	Name        string       `json:"name"`
	Members     []string     `json:"members"`
	Permissions []Permission `json:"permissions"`
}

// An Invite is a pending invitation. Permissions cannot be read back over the
// API; they become the user's once the invite is accepted.
type Invite struct {
	Email       string       `json:"email"`
	Permissions []Permission `json:"permissions"`
}

// A Role is a built-in role.
type Role struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Description string `json:"description"`
}

// A Permission is one role on some resources, as stored. RoleName is sent only if the
// workspace does not list the role; otherwise the name in the list is sent.
type Permission struct {
	RoleID    string     `json:"roleId"`
	RoleName  string     `json:"roleName,omitempty"`
	Resources []Resource `json:"resources"`
	// Extra has fields that no document knows. They are read with the permission and
	// cannot be written over the API: a replacement of the permission loses them.
	Extra map[string]any `json:"extra,omitempty"`
}

// A Resource is one scope of a permission.
type Resource struct {
	ID     string  `json:"id"`
	Type   string  `json:"type"`
	Labels []Label `json:"labels"`
	// Extra is that of Permission for the resource, and LabelExtra for each of its
	// labels.
	Extra      map[string]any `json:"extra,omitempty"`
	LabelExtra map[string]any `json:"labelExtra,omitempty"`
}

// A Label is a key and value defined in the workspace.
type Label struct {
	Key         string `json:"key"`
	Value       string `json:"value"`
	Description string `json:"description"`
}

// A Source sends events into Segment. WriteKeys and Settings are secrets.
type Source struct {
	ID        string         `json:"id"`
	Slug      string         `json:"slug"`
	Name      *string        `json:"name,omitempty"`
	Enabled   bool           `json:"enabled"`
	WriteKeys []string       `json:"writeKeys"`
	Metadata  Metadata       `json:"metadata"`
	Settings  map[string]any `json:"settings"`
	Labels    []Label        `json:"labels"`
}

// A Warehouse is a warehouse destination. Settings may hold secrets; its
// "name" is the display name, in some workspaces encoded as JSON once more.
type Warehouse struct {
	ID       string         `json:"id"`
	Enabled  bool           `json:"enabled"`
	Metadata Metadata       `json:"metadata"`
	Settings map[string]any `json:"settings"`
}

// Metadata is the catalog entry behind a source or a warehouse.
type Metadata struct {
	ID   string `json:"id"`
	Slug string `json:"slug"`
	Name string `json:"name"`
}

// A Function is a source, destination or insert function. DisplayName is the name that
// it was given: the API appends the workspace's name for some types. Code and Settings
// are secrets.
type Function struct {
	ID           string            `json:"id"`
	DisplayName  *string           `json:"displayName,omitempty"`
	Description  string            `json:"description"`
	ResourceType string            `json:"resourceType"`
	Code         string            `json:"code"`
	Settings     []FunctionSetting `json:"settings"`
}

// A FunctionSetting declares a setting of a function. Its JSON form is that of Segment.
type FunctionSetting struct {
	Name        string `json:"name"`
	Label       string `json:"label"`
	Description string `json:"description"`
	Type        string `json:"type"`
	Required    bool   `json:"required"`
	Sensitive   bool   `json:"sensitive"`
}

// A Space is a Unify space.
type Space struct {
	ID   string `json:"id"`
	Slug string `json:"slug"`
	Name string `json:"name"`
}
