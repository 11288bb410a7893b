package segmentapi

// The names of the roles that Segment documents ("Roles" in its IAM documentation), in the
// form in which the API returns them where that has been seen. Pass one to
// [RoleService.Find] and use the id of what it returns: the same role has other ids in
// other workspaces, and Segment has renamed roles before.
//
// Each comment says what the role grants and, according to Segment's documentation, what it
// can be held on: the whole workspace ([OnWorkspace]), everything that carries a label
// ([OnLabels]), or single resources. Roles add up: among those of a user and of the user's
// groups the highest access wins. Only the Business plan has them all; the Free and Team
// plans have Workspace Owner and Source Admin.
const (
	// RoleWorkspaceOwner reads and edits everything, including who has access, and sees
	// personal data. Held on the workspace.
	RoleWorkspaceOwner = "Workspace Owner"
	// RoleMinimalWorkspaceAccess shows the workspace and nothing in it. The documentation
	// calls it "Workspace Member". Held on the workspace.
	RoleMinimalWorkspaceAccess = "Minimal Workspace Access"

	// RoleSourceAdmin edits sources with their settings, streaming destinations, schema,
	// transformations, write keys and debugger. Held on the workspace, on labels or on
	// single sources.
	RoleSourceAdmin = "Source Admin"
	// RoleSourceReadOnly reads what [RoleSourceAdmin] edits. Held on the workspace, on
	// labels or on single sources.
	RoleSourceReadOnly = "Source Read-only"

	// RoleFunctionsAdmin creates, edits and deletes functions. The documentation also calls
	// it "Function Admin". Held on the workspace or on single functions.
	RoleFunctionsAdmin = "Functions Admin"
	// RoleFunctionsReadOnly reads functions. The documentation calls it "Function
	// Read-only"; the name in the API is assumed to follow that of [RoleFunctionsAdmin].
	// Held on the workspace or on single functions.
	RoleFunctionsReadOnly = "Functions Read-only"

	// RoleWarehouseDestinationAdmin edits warehouse destinations and their settings. It was
	// once called "Warehouse Admin". Held on the workspace only: it is for all warehouses.
	RoleWarehouseDestinationAdmin = "Warehouse Destination Admin"
	// RoleWarehouseDestinationReadOnly reads warehouse destinations and their settings. Held
	// on the workspace only.
	RoleWarehouseDestinationReadOnly = "Warehouse Destination Read-only"

	// RoleUnifyAndEngageAdmin edits the settings of Unify, audiences, traits, journeys and
	// content. It was once called "Personas Admin". Held on the workspace, on labels or on
	// single spaces.
	RoleUnifyAndEngageAdmin = "Unify and Engage Admin"
	// RoleUnifyAndEngageReadOnly reads audiences, traits, journeys and content, but no
	// settings, and cannot download personal data. Held on the workspace, on labels or on
	// single spaces.
	RoleUnifyAndEngageReadOnly = "Unify and Engage Read-only"
	// RoleUnifyReadOnlyEngageUser reads Unify and edits Engage. Held on the workspace, on
	// labels or on single spaces.
	RoleUnifyReadOnlyEngageUser = "Unify Read-only, Engage User"
	// RoleIdentityAdmin edits the identity settings of Unify. The documentation also calls it
	// "Personas Identity Admin". Held on the workspace.
	RoleIdentityAdmin = "Identity Admin"
	// RoleEntitiesAdmin edits entity models and their connection details. Segment documents
	// no scope for it.
	RoleEntitiesAdmin = "Entities Admin"
	// RoleEntitiesReadOnly reads entity models. Segment documents no scope for it.
	RoleEntitiesReadOnly = "Entities Read-only"

	// RoleTrackingPlanAdmin edits all tracking plans. Held on the workspace.
	RoleTrackingPlanAdmin = "Tracking Plan Admin"
	// RoleTrackingPlanReadOnly reads all tracking plans. Held on the workspace.
	RoleTrackingPlanReadOnly = "Tracking Plan Read-only"

	// RoleEndUserPrivacyAdmin edits privacy settings, and the deletion and suppression of end
	// users' data. Held on the workspace.
	RoleEndUserPrivacyAdmin = "End User Privacy Admin"
	// RolePIIAccess shows personal data, which is masked for others, in everything that the
	// holder reaches through other roles. It gives access to nothing else. Owners need no
	// RolePIIAccess. Held on the workspace.
	RolePIIAccess = "PII Access"
)
