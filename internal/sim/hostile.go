package sim

import "strings"

const (
	blank = "   "
	// unicodeName reads from right to left. It has an emoji of several code points,
	// a combining accent as a code point of its own, and letters outside the basic
	// plane.
	unicodeName = "עברית العربية 👩‍👩‍👧 Zoe\u0308 𝔖𝔢𝔤"
	// unlistedRole is a role that the workspace does not list, as after a renaming
	// or a change of plan.
	unlistedRole     = "role-unlisted"
	unlistedRoleName = "Source Curator (retired)"
	// roleOtherFamilyMade is an invented id. Workspaces have ids of one family only.
	roleOtherFamilyMade = "1Mc8Made0EntitiesAuditor001"
	// formulaName is the name of a group in a real workspace. A spreadsheet that opens it
	// as a cell runs a program.
	formulaName = `=cmd|' /C notepad'!'A1'`
	// typeUnknown is a type that no version of the schema has.
	typeUnknown = "DESTINATION"
)

// longName has 2,000 characters, which take 3,000 bytes.
func longName() string { return strings.Repeat("aé", 1000) }

// Hostile returns a small workspace with every odd state that a workspace can be in,
// even if Segment might not let anyone create it. It is the same at every call. The id
// of a row names its oddity. Values that are secret in a real workspace contain
// SECRET-.
func Hostile() *Workspace {
	w := &Workspace{
		ID:         "hostile-workspace",
		Slug:       "hostile",
		Name:       unicodeName,
		Roles:      append(builtInRoles(), hostileRoles()...),
		Labels:     hostileLabels(),
		Sources:    hostileSources(),
		Warehouses: hostileWarehouses(),
		Functions:  hostileFunctions(),
		Spaces:     hostileSpaces(),
		Invites: []Invite{
			// A user has the same address in another case.
			{Email: "Cased@Example.com"},
			// Two invites differ only in case.
			{Email: "double@example.com"},
			{Email: "DOUBLE@example.com"},
			// Characters that queries and JSON must escape. It is in a group.
			{Email: `o'brien+"test"&x=1@example.com`},
			// It is in no group, and its permissions cannot be read back.
			{Email: "alone@example.com", Permissions: []Permission{on(roleOwner, scope(typeWorkspace, "hostile-workspace"))}},
			// They have been accepted and are still listed, one in another spelling.
			{Email: "owner@example.com"},
			{Email: "Thirteen-Roles@EXAMPLE.com"},
		},
	}
	w.Users = hostileUsers(w.ID)
	w.Groups = hostileGroups(w.ID)
	// The rows above share slices for readability, which rows of a workspace must not.
	return w.clone()
}

func hostileRoles() []Role {
	return []Role{
		{"role-empty-name", "", ""},
		{"role-blank-name", blank, blank},
		{"role-unicode-name", unicodeName, unicodeName},
		{"role-long-name", longName(), longName()},
		// Plural first words, which mean the same as singular ones.
		{"role-sources-plural", "Sources Auditor", "View all that sources send."},
		{"role-functions-plural", "Functions Auditor", "View what functions do."},
		// Names from before Personas became Unify and Engage.
		{"role-personas", "Personas Admin", "Edit spaces."},
		{"role-personas-identity", "Personas Identity Admin", "Edit the identity settings of spaces."},
		// Another role of the same name.
		{"role-same-name", "Source Admin", "Has the name of another role."},
		// A role of the family of ids that most workspaces have. The others are of the
		// family in Segment's documentation.
		{roleOtherFamilyMade, "Entities Auditor", "View all entity models."},
	}
}

func hostileLabels() []Label {
	return append(defaultLabels(),
		Label{Key: "map_env", Value: "eu_west", Description: unicodeName},
		// Characters that label ids must escape; createLabel would refuse them.
		oddLabel(),
		// Defined twice, with different descriptions.
		Label{Key: "team", Value: "growth", Description: "First"},
		Label{Key: "team", Value: "growth", Description: "Second"},
	)
}

func oddLabel() Label {
	return Label{Key: "odd", Value: "100%=a,b:c"}
}

func hostileSources() []Source {
	name := func(s string) *string { return &s }
	source := func(id, slug string, name *string) Source {
		return Source{
			ID:        id,
			Slug:      slug,
			Name:      name,
			Enabled:   true,
			WriteKeys: []string{"SECRET-write-key-" + id, "SECRET-second-write-key-" + id},
			Metadata:  Metadata{"IqDTy1TpoU", "javascript", "Javascript"},
			Settings: map[string]any{
				"apiKey": "SECRET-source-setting-" + id,
				"nested": map[string]any{"list": []any{"SECRET-nested-source-setting-" + id, 7.0}},
			},
		}
	}
	sources := []Source{
		source("source-plain", "plain", name("Plain")),
		source("source-empty-name", "empty-name", name("")),
		source("source-no-name", "no-name", nil),
		source("source-nothing-but-an-id", "", nil),
		source("source-blank-name", blank, name(blank)),
		source("source-unicode-name", "unicode-name", name(unicodeName)),
		source("source-long-name", longName(), name(longName())),
		// Ids of the lengths that real ones have.
		source("IqDTyMade1", "ten", name("Ten")),
		source("4gXPcMadeTwentyOne001", "twenty-one", name("Twenty-one")),
		source("2c0vbMadeTwentySevenLetters", "twenty-seven", name("Twenty-seven")),
	}
	sources[0].Labels = []Label{{Key: "environment", Value: "prod"}, oddLabel()}
	// A label that the workspace does not define.
	sources[1].Labels = []Label{{Key: "gone", Value: "gone"}}
	// It has no catalog entry, is disabled and has no secrets.
	sources[3].Metadata = Metadata{}
	sources[3].Enabled = false
	sources[3].WriteKeys = nil
	sources[3].Settings = nil
	return sources
}

func hostileWarehouses() []Warehouse {
	warehouse := func(id string, name any) Warehouse {
		h := Warehouse{
			ID:       id,
			Enabled:  true,
			Metadata: Metadata{"55d3d3aea3c", "postgres", "Postgres"},
			Settings: map[string]any{
				"password":   "SECRET-warehouse-password-" + id,
				"connection": "postgres://segment:SECRET-connection-string-" + id + "@db.example.com/segment",
				"ssh":        map[string]any{"privateKey": "SECRET-nested-warehouse-setting-" + id},
			},
		}
		if name != nil {
			h.Settings["name"] = name
		}
		return h
	}
	warehouses := []Warehouse{
		warehouse("warehouse-plain", "Plain"),
		warehouse("warehouse-no-name", nil),
		warehouse("warehouse-empty-name", ""),
		warehouse("warehouse-blank-name", blank),
		warehouse("warehouse-number-for-a-name", 42.0),
		// A program that prints it as a name discloses a secret.
		warehouse("warehouse-object-for-a-name", map[string]any{"value": "SECRET-warehouse-name"}),
		warehouse("warehouse-unicode-name", unicodeName),
		warehouse("warehouse-long-name", longName()),
		// Names that are JSON, as in real workspaces, and names that only look so.
		warehouse("warehouse-quoted-name", `"Quoted \"Warehouse\" \u00e9"`),
		warehouse("warehouse-quoted-nothing", `""`),
		warehouse("warehouse-quote-open", `"Open`),
		warehouse("warehouse-quotes-within", `"North" and "South"`),
		warehouse("warehouse-name-of-digits", "42"),
		warehouse("warehouse-nothing-but-an-id", nil),
	}
	last := &warehouses[len(warehouses)-1]
	last.Metadata, last.Settings, last.Enabled = Metadata{}, nil, false
	return warehouses
}

func hostileFunctions() []Function {
	function := func(id, kind string, name *string) Function {
		return Function{
			ID:           id,
			DisplayName:  name,
			ResourceType: kind,
			Code:         "const key = 'SECRET-function-code-" + id + "'\n",
			Settings: []FunctionSetting{{
				Name:        "apiKey",
				Label:       "API key",
				Description: "SECRET-function-setting-" + id,
				Type:        "STRING",
				Required:    true,
				Sensitive:   true,
			}},
		}
	}
	name := func(s string) *string { return &s }
	return []Function{
		function("sfnc_null_name", "SOURCE", nil),
		function("sfnc_empty_name", "SOURCE", name("")),
		function("sfnc_blank_name", "SOURCE", name(blank)),
		// Segment appends the workspace's name, even to a blank one.
		function("dfn_blank_name", "DESTINATION", name(blank)),
		function("dfn_unicode_name", "DESTINATION", name(unicodeName)),
		function("dfn_long_name", "DESTINATION", name(longName())),
		function("dfn_6914af6a9afd4af402607d9d", "DESTINATION", name("Plain")),
		function("sfnc_pIbLBmade9", "SOURCE", name("Plain")),
		function("ifns_plain", "INSERT_SOURCE", name("Plain")),
		function("ifnd_plain", "INSERT_DESTINATION", name("Plain")),
		// A type that older workspaces lack, and an id without a prefix.
		function("transformation", typeInsertTransformation, nil),
	}
}

func hostileSpaces() []Space {
	return []Space{
		// Listed without the prefix that permissions have.
		{"bare0listed", "bare", "Listed bare"},
		// Listed with the prefix that permissions do not have.
		{"spa_prefix0listed", "prefixed", "Listed with the prefix"},
		{"spa_empty_name", "empty-name", ""},
		{"spa_nothing_but_an_id", "", ""},
		{"spa_blank_name", blank, blank},
		{"spa_unicode_name", "unicode-name", unicodeName},
		{"spa_long_name", longName(), longName()},
	}
}

// hostileScopes makes scopes of the workspace with this id.
type hostileScopes string

func (ws hostileScopes) all() Resource { return scope(typeWorkspace, string(ws)) }

func (ws hostileScopes) labeled(ls ...Label) Resource {
	return Resource{ID: string(ws), Type: typeWorkspace, Labels: ls}
}

// onDeleted are permissions on a deleted resource of each type.
func onDeleted() []Permission {
	return []Permission{
		on(roleSourceAdmin, scope(typeSource, "source-deleted")),
		on(roleFunctionsAdmin, scope(typeFunction, "dfn_deleted")),
		on(roleEngageAdmin, scope(typeSpace, "spa_deleted")),
		on(roleWarehouseAdmin, scope(typeWarehouse, "warehouse-deleted")),
	}
}

// unlisted are permissions of a role that the workspace does not list.
func (ws hostileScopes) unlisted() []Permission {
	return []Permission{{
		RoleID:   unlistedRole,
		RoleName: unlistedRoleName,
		Resources: []Resource{
			ws.all(),
			ws.labeled(Label{Key: "environment", Value: "prod"}),
			scope(typeSource, "source-plain"),
			scope(typeSource, "source-deleted"),
		},
	}}
}

func hostileUsers(workspaceID string) []User {
	ws := hostileScopes(workspaceID)
	member := []Permission{on(roleMinimal, ws.all())}
	prod, dev := Label{Key: "environment", Value: "prod"}, Label{Key: "environment", Value: "dev"}
	growth, eu := Label{Key: "team", Value: "growth"}, Label{Key: "map_env", Value: "eu_west"}
	return []User{
		// Odd in one respect only: an invite of the address is still listed.
		{"user-owner", "Olga Owner", "owner@example.com", []Permission{on(roleOwner, ws.all())}},
		{"user-empty-name", "", "empty-name@example.com", member},
		{"user-blank-name", blank, "blank-name@example.com", []Permission{on(roleMinimal, ws.all()), on("role-blank-name", ws.all())}},
		{"user-unicode-name", unicodeName, "unicode-name@example.com", []Permission{on("role-unicode-name", ws.all())}},
		{"user-long-name", longName(), "long-name@example.com", []Permission{on("role-long-name", ws.all()), on("role-empty-name", ws.all())}},
		{"user-nil-permissions", "Nil Permissions", "nil-permissions@example.com", nil},
		{"user-empty-permissions", "Empty Permissions", "empty-permissions@example.com", []Permission{}},
		{"user-no-address", "No Address", "not an address", member},
		// Two users whose addresses differ only in case.
		{"user-twin-lower", "Twin", "twin@example.com", member},
		{"user-twin-upper", "Twin", "TWIN@example.com", member},
		// An invite has the address in another case, and so has a group.
		{"user-cased", "Cased", "cased@example.com", member},
		// Two and three labels; a label in two entries of a role.
		{"user-label-sets", "Label Sets", "label-sets@example.com", []Permission{
			on(roleSourceAdmin, ws.labeled(prod, growth), ws.labeled(eu, prod, growth)),
			on(roleSourceReadOnly, ws.labeled(prod)),
			on(roleSourceReadOnly, ws.labeled(dev)),
		}},
		// Sets of the user above in another order; a label twice in one set.
		{"user-label-order", "Label Order", "label-order@example.com", []Permission{
			on(roleSourceAdmin, ws.labeled(growth, prod), ws.labeled(growth, eu, prod)),
			on(roleEngageAdmin, ws.labeled(prod, prod)),
			on(roleEngageReadOnlyMade, ws.labeled(prod, growth, prod)),
		}},
		// A label that is not defined any more, alone and in a set; one to escape;
		// a role that labels cannot restrict; a description that is not the label's.
		{"user-label-odd", "Label Odd", "label-odd@example.com", []Permission{
			on(roleSourceAdmin, ws.labeled(Label{Key: "gone", Value: "gone"}), ws.labeled(prod, Label{Key: "gone", Value: "gone"})),
			on(roleSourceReadOnly, ws.labeled(oddLabel()), ws.labeled(oddLabel(), prod)),
			on(roleOwner, ws.labeled(Label{Key: "environment", Value: "dev", Description: "Not the usual one"})),
		}},
		{"user-deleted", "Deleted", "deleted@example.com", onDeleted()},
		// The same deleted resources, one of them under another role.
		{"user-deleted-too", "Deleted Too", "deleted-too@example.com", append(onDeleted(), on(roleSourceReadOnly, scope(typeSource, "source-deleted")))},
		{"user-unknown-type", "Unknown Type", "unknown-type@example.com", []Permission{
			on(roleMinimal, ws.all(), scope(typeUnknown, "destination-1")),
			on(roleSourceAdmin, scope(typeUnknown, "destination-1"), scope(typeUnknown, "destination-2")),
		}},
		// A role that is not listed; one that is not listed and has no name.
		{"user-unlisted-role", "Unlisted Role", "unlisted-role@example.com", append(ws.unlisted(), on("role-unlisted-nameless", ws.all(), scope(typeSpace, "bare0listed")))},
		// One that is not listed and that is held on nothing but a source.
		{"user-unlisted-role-on-source", "Unlisted Role on a Source", "unlisted-role-on-source@example.com", []Permission{{
			RoleID: "role-unlisted-on-source", RoleName: "Source Steward (retired)", Resources: []Resource{scope(typeSource, "source-plain")},
		}}},
		// Roles on types that they are not meant for.
		{"user-wrong-type", "Wrong Type", "wrong-type@example.com", []Permission{
			on(roleSourceAdmin, scope(typeFunction, "ifns_plain")),
			on(roleTrackingAdmin, scope(typeSource, "source-plain")),
			on(roleOwner, scope(typeSpace, "bare0listed")),
			on(roleIdentityAdmin, scope(typeSpace, "bare0listed")),
		}},
		{"user-plural-roles", "Plural Roles", "plural-roles@example.com", []Permission{
			on("role-sources-plural", scope(typeSource, "source-plain"), ws.labeled(prod)),
			on("role-functions-plural", scope(typeFunction, "ifns_plain")),
			on("role-personas", scope(typeSpace, "spa_prefix0listed"), ws.labeled(prod)),
			on("role-personas-identity", ws.all()),
			on("role-same-name", scope(typeSource, "source-plain"), ws.all()),
		}},
		// A role in two entries, a resource twice in one entry and in both.
		{"user-repeats", "Repeats", "repeats@example.com", []Permission{
			on(roleSourceAdmin, scope(typeSource, "source-plain"), scope(typeSource, "source-plain"), scope(typeSource, "source-no-name")),
			on(roleSourceAdmin, scope(typeSource, "source-plain"), scope(typeSource, "source-empty-name")),
			on(roleMinimal, ws.all(), ws.all()),
			on(roleMinimal, ws.all()),
		}},
		// The workspace and a source in one entry; the workspace with and without
		// labels in one; a source with labels, as the read model allows.
		{"user-mixed", "Mixed", "mixed@example.com", []Permission{
			on(roleSourceAdmin, ws.all(), scope(typeSource, "source-plain")),
			on(roleSourceReadOnly, ws.labeled(prod), ws.all()),
			on(roleFunctionsAdmin, scope(typeFunction, "dfn_unicode_name"), scope(typeSource, "source-no-name")),
			on("role-sources-plural", Resource{ID: "source-no-name", Type: typeSource, Labels: []Label{prod}}),
		}},
		// An entry without resources, one without a role, a resource without an
		// id, another workspace's id, and no type.
		{"user-malformed", "Malformed", "malformed@example.com", []Permission{
			on(roleSourceAdmin),
			on("", ws.all(), scope(typeSource, "source-plain")),
			on(roleSourceReadOnly, scope(typeSource, "")),
			on(roleOwner, scope(typeWorkspace, "another-workspace")),
			on(rolePIIAccess, scope(typeWorkspace, "")),
			on(roleTrackingReadOnly, scope("", "source-plain")),
		}},
		// Spaces in the form that is not listed, and in both, listed and deleted.
		{"user-spaces", "Spaces", "spaces@example.com", []Permission{
			on(roleEngageAdmin, scope(typeSpace, "spa_bare0listed"), scope(typeSpace, "prefix0listed")),
			on(roleEngageReadOnlyMade, scope(typeSpace, "spa_bare0listed"), scope(typeSpace, "bare0listed")),
			on(roleEngageUserMade, scope(typeSpace, "spa_deleted"), scope(typeSpace, "deleted")),
		}},
		// As many roles as anybody in a real workspace has, three spaces in one entry,
		// two labels on one scope.
		{"user-thirteen-roles", "Thirteen Roles", "thirteen-roles@example.com", []Permission{
			on(roleMinimal, ws.all()),
			on(roleSourceAdmin, ws.labeled(prod, growth)),
			on(roleSourceReadOnly, scope(typeSource, "IqDTyMade1"), scope(typeSource, "source-plain")),
			on(roleFunctionsAdmin, scope(typeFunction, "dfn_6914af6a9afd4af402607d9d"), scope(typeFunction, "sfnc_pIbLBmade9")),
			on(roleEngageAdmin, scope(typeSpace, "spa_empty_name"), scope(typeSpace, "spa_blank_name"), scope(typeSpace, "spa_unicode_name")),
			on(roleOtherFamilyMade, scope(typeSpace, "spa_long_name")),
			on(roleEntitiesReadMade, ws.all()),
			on(roleWarehouseReadOnly, ws.all()),
			on(roleTrackingAdmin, ws.all()),
			on(rolePrivacyAdmin, ws.all()),
			on(rolePIIAccess, ws.all()),
			on(roleObservabilityAdmin, ws.all()),
			on(roleObservabilityReader, ws.all()),
		}},
		// The schema has warehouses as scopes, but the documentation does not.
		{"user-warehouse", "Warehouse", "warehouse@example.com", []Permission{
			on(roleWarehouseAdmin, scope(typeWarehouse, "warehouse-plain"), scope(typeWarehouse, "warehouse-object-for-a-name")),
			on(roleWarehouseReadOnly, ws.all(), scope(typeWarehouse, "warehouse-nothing-but-an-id")),
		}},
	}
}

func hostileGroups(workspaceID string) []Group {
	ws := hostileScopes(workspaceID)
	member := []Permission{on(roleMinimal, ws.all())}
	prod, growth := Label{Key: "environment", Value: "prod"}, Label{Key: "team", Value: "growth"}
	return []Group{
		{"group-empty-name", "", []string{"owner@example.com"}, member},
		{"group-blank-name", blank, []string{"blank-name@example.com"}, member},
		{"group-unicode-name", unicodeName, []string{"unicode-name@example.com"}, member},
		{"group-long-name", longName(), []string{"long-name@example.com"}, member},
		{"group-formula", formulaName, []string{"thirteen-roles@example.com"}, member},
		// Two groups of one name that give different access.
		{"group-same-name-1", "Same Name", []string{"mixed@example.com"}, []Permission{on(roleSourceReadOnly, scope(typeSource, "source-plain"))}},
		{"group-same-name-2", "Same Name", []string{"mixed@example.com", "spaces@example.com"}, []Permission{on(roleSourceAdmin, scope(typeSource, "source-plain"))}},
		{"group-nobody", "Nobody", nil, []Permission{on(roleOwner, ws.all())}},
		{"group-no-permissions", "No Permissions", []string{"owner@example.com", "not an address"}, nil},
		{"group-invites-only", "Invites Only", []string{`o'brien+"test"&x=1@example.com`, "double@example.com"}, []Permission{
			on(roleSourceReadOnly, ws.labeled(prod)),
		}},
		// The user has the address in another case, and so has an invite.
		{"group-cased", "Cased", []string{"CASED@example.com"}, member},
		// One member in two spellings.
		{"group-twice", "Twice", []string{"repeats@example.com", "Repeats@Example.com"}, member},
		// Two users, whose addresses differ only in case.
		{"group-twins", "Twins", []string{"twin@example.com", "TWIN@example.com"}, member},
		// Permissions that users hold as well: on deleted resources, of a role that
		// is not listed, on a set of labels in another order, on an unknown type.
		{"group-shares", "Shares", []string{"nil-permissions@example.com", "deleted@example.com"}, append(append(onDeleted(), ws.unlisted()...),
			on(roleSourceReadOnly, ws.labeled(growth, prod)),
			on(roleTrackingReadOnly, scope(typeUnknown, "destination-1")),
			on(roleEngageReadOnlyMade, scope(typeSpace, "deleted")),
		)},
	}
}
