// Package segmentapi reads and changes who has access to what in a Twilio
// Segment workspace: its users, pending invites, groups and roles, and the
// sources, warehouses, functions, spaces and labels that roles are held on. A
// [Client] has a service for each.
//
// It wraps Segment's official generated client and adds what that client
// leaves to its callers: pages that cannot be cut short unnoticed, iterators,
// retries, pacing by the rate limit, typed errors, a cache of roles, and edits
// of permissions that lose nothing. The official client stays within reach through [Client.Raw].
//
// # Lists
//
// List makes exactly one request and returns a [Page]; All streams every row
// and makes as many requests as it takes. Both fail with [ErrBadResponse]
// rather than return a list that may be incomplete.
//
//	for user, err := range client.Users.All(ctx) {
//		if err != nil {
//			return err
//		}
//		fmt.Println(user.Email)
//	}
//
// Segment's lists of users and groups carry no permissions. Ask for each with
// Get, and see [User] for how silence differs from none. Functions are listed
// one [FunctionType] at a time; labels have no pages, so List returns them all.
//
// # Changes
//
// A permission is a role on several scopes; an [Assignment] is a role on one,
// and the unit of change:
//
//	onWeb := segmentapi.Assignment{
//		RoleID: sourceAdmin,
//		Scope:  segmentapi.Scope{Type: segmentapi.ScopeSource, ID: web},
//	}
//	change, err := client.Users.Revoke(ctx, userID, onWeb)
//
// Every change reads first and writes only if something is to change, so it may
// be repeated; it reads back what it wrote and fails with [ErrNotApplied] if
// that is not what was asked. Changes of one user or group wait for each other.
// Nothing else that is held is touched. Segment has no means to write under a
// condition: see [UserService.Revoke] for the one round trip in which another
// program's edit can be lost.
//
// The workspace keeps an owner ([ErrLastOwner]), and whoever loses the last
// permission gets Minimal Workspace Access. [WithDryRun] shows a change without
// making it.
//
// # Secrets
//
// Segment sends write keys, settings and function code along with what they
// belong to. No type, error or log line of this package has them; answers got
// through [Client.Raw] do.
//
// # Errors
//
// A failed operation is an [*Error]. Match it by status with [errors.Is]:
//
//	if errors.Is(err, segmentapi.ErrNotFound) { … }
//
// # Rate limits
//
// The client reads the limit headers of every answer, spreads its requests
// when a window runs low, leaves a share of it to others on the same token,
// and after a refusal sends nothing until the time has come. A call that would
// have to wait longer than its [RetryPolicy] allows fails at once with a
// [*RateLimitError] that says how long. [Client.WithRetry] makes a client that
// is more or less patient within the same limit.
package segmentapi
