// Package inprocess runs a Baton connector inside another Go program: it syncs
// to a file, and grants, revokes, creates accounts and removes.
//
//	segment, err := connector.New(ctx, options)
//	…
//	runner, err := inprocess.New(ctx, segment, inprocess.WithProvisioning())
//	…
//	err = runner.Sync(ctx, file)
//	…
//	changed, err = runner.Revoke(ctx, file, "group:web:member", ada)
//
// The SDK's own runner is for programs: it starts its executable a second time,
// reads flags and ends the process. This one does the same work with the same
// parts, and calls the connector over gRPC through memory.
//
// # What is yours
//
// When to sync, where files go, how many are kept and who may read them. The
// SDK's package dotc1z reads them. How long to wait: a sync waits for Segment's
// limits and outages, a grant or a revocation is tried three times within some
// minutes, an invite or a removal waits about one. The context ends all of them
// earlier.
//
// # The file
//
// A sync that ends without an error leaves a complete file. One that does not
// leaves an incomplete one, or the one from before: take neither for complete.
// Sync to the same path again, and it goes on where it was canceled; after a
// failure, from the SDK's last checkpoint, or from the start. Rows of the
// interrupted sync stay in the file until the next complete one, even those of
// someone who has left since, so start a review with a new file. Preferably give
// each sync a path of its own, and move the file once it is complete.
//
// While a file is in use, it is unpacked in the folder for temporary files
// (TMPDIR; for a sync also the SDK's WithTmpDir). However a call ends, nothing of
// that stays, unless the process is killed.
//
// # Canceling
//
// A call ends soon after its context, with an error for which errors.Is finds
// that of the context. A sync saves how far it came before it returns. A change
// that was under way may have been made. Changes are idempotent, so ask again.
//
// # Errors
//
// What the connector says has a gRPC code, the same that is the exit code of the
// program, and status.Code reads it: Unauthenticated and PermissionDenied want
// another token or role, FailedPrecondition says what is in the way, NotFound
// that the file lacks an id, Unimplemented that Segment has no way to do it,
// Unavailable to try later, which a sync does by itself. If the connector panics,
// unless it does so in a goroutine of its own, the call ends with Internal, and
// the stack is in the log. Errors about files have no code.
//
// The log is the zap logger that ctxzap finds in the context of Sync, and in the
// context of New for all else. Without one there is no log.
//
// # Memory and concurrency
//
// Rows go to disk while a sync runs. A process that does nothing else peaks at
// 0.2 GB for 1000 users in 100 groups, and at 0.3 to 0.5 GB for 10 000 in 500.
// The program baton-segment sets GOGC to 200, for less processor time and more
// memory, and GOMEMLIMIT to 512MiB, where that ends. Both are for the whole
// process, so here they are left alone. Idle connections to Segment stay open
// for half a minute, even after Close.
//
// A [Runner] is safe for concurrent use. Its syncs wait for each other, because
// the connector remembers things about the sync that it is in; changes wait for
// nobody. Runners do not disturb each other if each has a connector of its own,
// and no two syncs have the same file.
package inprocess
