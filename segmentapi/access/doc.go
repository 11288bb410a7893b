// Package access answers who reaches what in a Segment workspace, and through what: a
// role on the workspace, on labels or on a single resource, held by a person or by one
// of the person's groups.
//
//	snapshot, err := access.Read(ctx, client, access.ReadOptions{})
//	if err != nil {
//		return err
//	}
//	for _, path := range snapshot.Owners() {
//		fmt.Println(path.Person.Email)
//	}
//
// [Read] makes a [Snapshot] of a workspace. [Snapshot.Who], [Snapshot.What],
// [Snapshot.Owners] and [Diff] answer from it, without requests. The rest of the package
// is what the answers rest on: which kind of resource a role is for, what each scope of
// a permission gives access to, how a set of labels is named, and which two forms the id
// of a space has.
//
// Segment documents the types of scopes and their labels. It does not document which
// role is for which type; [Applies] decides that by the role's name, and a [Path] says
// whether it rests on that.
package access
