package arch

import (
	"go/ast"
	"go/types"
	"slices"
	"strings"
	"testing"
)

// syncstate is the folder of the connector that uses the SDK's session store.
const syncstate = "connector/internal/syncstate"

// Only syncstate uses the session store, so that all state of a sync is in one place. The
// exception is connector/inprocess, which passes the store on to the SDK.
func TestSessionStore_OnlySyncstateUsesIt(t *testing.T) {
	t.Parallel()
	store := []string{batonSDK + "/pkg/session", batonSDK + "/pkg/types/sessions"}
	all := checkedPackages(t)
	if len(sessionFields(all[syncstate].info)) == 0 {
		t.Errorf("%s does not use the session store", syncstate)
	}
	for folder, p := range all {
		below := func(parent string) bool { return folder == parent || strings.HasPrefix(folder, parent+"/") }
		if !below("connector") || below(syncstate) || folder == "connector/inprocess" {
			continue
		}
		for _, imported := range p.types.Imports() {
			if slices.Contains(store, imported.Path()) {
				t.Errorf("%s imports %s: only %s uses the session store", folder, imported.Path(), syncstate)
			}
		}
		for _, field := range sessionFields(p.info) {
			t.Errorf("%s: %s: only %s uses the session store", folder, p.fset.Position(field.Pos()), syncstate)
		}
	}
}

// sessionFields returns the uses of SyncOpAttrs.Session, in the order of the source.
func sessionFields(info *types.Info) []*ast.Ident {
	var found []*ast.Ident
	if info == nil {
		return nil
	}
	for ident, obj := range info.Uses {
		field, ok := obj.(*types.Var)
		if ok && field.IsField() && field.Name() == "Session" && field.Pkg().Path() == batonSDK+"/pkg/types/resource" {
			found = append(found, ident)
		}
	}
	slices.SortFunc(found, func(a, b *ast.Ident) int { return int(a.Pos() - b.Pos()) })
	return found
}
