package segmentapi

import (
	"context"
	"slices"
)

// OnWorkspace is the scope of a role on the whole workspace: on everything in it, now and
// in the future. It stands for the workspace that the token belongs to. Its id is
// filled in when it is needed, with one request (getWorkspace) for each token in a process.
func OnWorkspace() Scope { return Scope{Type: ScopeWorkspace} }

// OnLabels is the scope of a role on everything in the workspace that carries all of the
// labels. Segment documents it for the roles for sources and spaces; see
// [RoleSourceAdmin] and those that follow. The workspace is that of [OnWorkspace].
func OnLabels(label Label, more ...Label) Scope {
	// Without any label it would be the whole workspace, so the first is a parameter.
	return Scope{Type: ScopeWorkspace, Labels: slices.Concat([]Label{label}, more)}
}

// OnSource is the scope of a role on the source with this id.
func OnSource(id string) Scope { return Scope{Type: ScopeSource, ID: id} }

// OnFunction is the scope of a role on the function with this id, of any [FunctionType].
func OnFunction(id string) Scope { return Scope{Type: ScopeFunction, ID: id} }

// OnSpace is the scope of a role on the space with this id, with or without its prefix
// "spa_".
func OnSpace(id string) Scope { return Scope{Type: ScopeSpace, ID: id} }

// OnWarehouse is the scope of a role on the warehouse with this id. The API has the scope,
// but Segment documents the roles for warehouses for the whole workspace only.
func OnWarehouse(id string) Scope { return Scope{Type: ScopeWarehouse, ID: id} }

// needsWorkspace reports whether the id of the workspace is to be filled in.
func needsWorkspace(a Assignment) bool { return a.Scope.Type == ScopeWorkspace && a.Scope.ID == "" }

// withWorkspace fills in the id of the workspace.
func withWorkspace(assignments []Assignment, id string) []Assignment {
	filled := slices.Clone(assignments)
	for i := range filled {
		if needsWorkspace(filled[i]) {
			filled[i].Scope.ID = id
		}
	}
	return filled
}

// withWorkspaceOf fills in the id of the workspace that held names, if it names exactly
// one.
func withWorkspaceOf(held, assignments []Assignment) []Assignment {
	id := ""
	for _, a := range held {
		switch {
		case a.Scope.Type != ScopeWorkspace || a.Scope.ID == id:
		case id != "":
			return assignments
		default:
			id = a.Scope.ID
		}
	}
	return withWorkspace(assignments, id)
}

// inWorkspace fills in the id of the token's workspace.
func (c *Client) inWorkspace(ctx context.Context, assignments []Assignment) ([]Assignment, error) {
	if !slices.ContainsFunc(assignments, needsWorkspace) {
		return assignments, nil
	}
	id := c.writer.workspaceID.Load()
	if id == nil {
		ws, err := c.Workspace.Get(ctx)
		if err != nil {
			return nil, err
		}
		id = &ws.ID
	}
	return withWorkspace(assignments, *id), nil
}
