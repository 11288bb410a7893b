// Package segmentapi reads and changes who has access to what in a Twilio
// Segment workspace: its users, pending invites, groups and roles, and the
// sources, warehouses, functions, spaces and labels that roles are held on.
//
// It wraps Segment's official generated client and adds what that client
// leaves to its callers: pages that cannot be truncated unnoticed, iterators,
// retries, pacing by the rate limit, typed errors, a cache of roles, and edits of
// permissions that keep everything else.
//
// [New] makes a [Client] from a Public API token; a workspace in the EU also
// needs [WithRegion]. The client has a service for each kind of thing. It is
// safe for concurrent use. Use one client for each token, so that all callers share
// what it learns about the rate limit.
//
// # Lists and pages
//
// All streams every row and makes as many requests as it takes. The loop ends
// after an error:
//
//	for user, err := range client.Users.All(ctx) {
//		if err != nil {
//			fmt.Println(err)
//			return
//		}
//		fmt.Println(user.Email)
//	}
//
// List makes exactly one request and returns a [Page]; its Next goes into the
// [ListOptions] of the next call. Both fail with [ErrBadResponse] rather than
// return a list that may be incomplete. All also fails if the list might never end
// ([MaxPages], [MaxEmptyPages]).
//
// Segment's lists of users and groups carry no permissions, so an audit of 1000 users takes
// 1000 more requests. [UserService.AllWithPermissions] and [GroupService.AllWithPermissions]
// make them in parallel:
//
//	for user, err := range client.Users.AllWithPermissions(ctx) {
//		if err != nil {
//			return nil, err
//		}
//		for _, a := range segmentapi.Assignments(user.Permissions) {
//			…
//
// [User] documents how missing permissions differ from no permissions. Functions are listed
// one [FunctionType] at a time. Labels have no pages: [LabelService.List] returns them all.
//
// # Lookups by name
//
// Methods take ids. Find returns the user with an e-mail address, the group or the role
// with a name, or the source with a name or slug. It reads the whole list. If several have
// the name, the error matches [ErrAmbiguous]; if none has, [ErrNotFound]. The roles that
// Segment documents have constants, such as [RoleSourceAdmin], with comments on what each
// role grants.
//
// # Errors
//
// A failed operation is an [*Error]. Match it by status with [errors.Is] and
// one of the sentinels, such as [ErrUnauthorized] for a wrong token or region:
//
//	if errors.Is(err, segmentapi.ErrNotFound) {
//		fmt.Println("no user has this id")
//	}
//
// [errors.As] gives its fields: the operation, the status, Segment's messages and
// the number of attempts. [FromSegment] distinguishes Segment's own errors from
// those of a proxy. Invalid arguments are [ErrInvalidArgument], before any request.
// No error contains the token.
//
// # Rate limits and retries
//
// The client reads the limit headers of every answer and leaves a share of each window
// to others on the same token ([WithLimits]). If it sees that others use the window, it
// also spreads its requests when the window runs low. After a 429 it sends nothing until
// the refusal ends. If a 429 says that requests remain in the window, Segment limits
// concurrent requests: the client finds that limit and logs it once. Such a refusal does
// not count as an attempt of the [RetryPolicy]. A call that would have to wait longer than
// its [RetryPolicy] allows, 65 seconds by default, fails at once with a [*RateLimitError]
// that names the wait:
//
//	var limited *segmentapi.RateLimitError
//	if errors.As(err, &limited) {
//		fmt.Println("try again in", limited.Wait.Round(time.Second)) // At limited.Reset.
//		return
//	}
//
// After server errors and broken connections a request is sent again where that is
// safe, up to 5 attempts in all; [WithRetry] lists the cases. [Client.WithRetry]
// returns a client with another [RetryPolicy] that shares the rate limit. Every
// wait ends with the context.
//
// # Caching
//
// Only roles are cached: there are about twenty, they hardly ever change, and
// Segment can only list them all. [RoleService.Get] and [RoleService.Find] list
// them once in 10 minutes ([WithRoleCache]). Users, groups and permissions are read
// at each call, because an edit must not start from old data.
//
// # Changing permissions safely
//
// Segment can add permissions or replace all of them, but cannot remove a single one.
// A program that writes back a list that it has read may undo someone else's change
// in between, or widen a permission by dropping its labels. Here the unit of change is
// an [Assignment], one role on one [Scope]:
//
//	onStaging := segmentapi.Assignment{RoleID: admin.ID, Scope: segmentapi.OnSource(staging)}
//	change, err := client.Users.Revoke(ctx, kwame, onStaging)
//
// [OnWorkspace], [OnLabels], [OnSource] and similar functions make scopes.
//
// Changes are idempotent: each reads first, and writes only if something must change.
// All other assignments are kept, labels included. Within a process, changes to one user
// or group are serialized.
//
// Segment does not document that a read shows the last write. Each change is read back
// until it shows, for at most 10 seconds ([WithSettleTime], [ErrUnconfirmed]). For a
// minute, the process compares what it reads before an edit with what it has written.
// The result must match the request: if Segment grants a role on more than was requested,
// the excess is revoked ([ErrNotRestored] if it cannot be). A second after an edit, the user
// or group is read once more. If another program has overwritten the edit by replacing
// the permissions in the same round trip, the edit is repeated ([ErrContested] if it is
// overwritten again).
//
// If the context of a call ends during a write, the write still runs to its end: within
// 25 seconds, it is read back or undone. No other write begins.
//
// A change that could remove the last owner of the workspace fails ([ErrLastOwner]).
// Minimal Workspace Access takes the place of a last permission. [UserService.Edit] is for
// changes that Grant and Revoke cannot express. [WithDryRun] shows a change without making
// it, and [WithLogger] logs a line for each change that was made, and a line before the
// first step of one that takes several.
//
// # The audit trail
//
// [AuditService] lists the changes of the last 90 days, by anyone, if the workspace is on
// the Business plan. An event names the actor, the resource and the type of change, not
// what was changed.
//
// # Everything else
//
// Much of Segment's API is not about access. The official client is available through
// [Client.Raw], with the same retries and the same rate limit. [Do] runs one of its requests
// with the errors of this package, and [DoAll] streams the rows of its lists, as strictly as
// All does.
//
// # Secrets
//
// Segment sends write keys, settings and function code with the objects that they
// belong to. No type, error or log line of this package contains them; answers to
// requests through [Client.Raw], [Do] and [DoAll] do.
//
// # Testing your own code
//
// Package segmentapitest runs a simulated workspace inside a test. Code that takes a
// [*Client] can be tested without an account, a network or an interface made for the
// purpose.
package segmentapi
