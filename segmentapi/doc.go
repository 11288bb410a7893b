// Package segmentapi reads and changes who has access to what in a Twilio
// Segment workspace: its users, pending invites, groups and roles, and the
// sources, warehouses, functions, spaces and labels that roles are held on.
//
// It wraps Segment's official generated client and adds what that client
// leaves to its callers: pages that cannot be cut short unnoticed, iterators,
// retries, pacing by the rate limit, typed errors, a cache of roles, and edits
// of permissions that lose nothing.
//
// [New] makes a [Client] from a Public API token; a workspace in the EU also
// needs [WithRegion]. The client has a service for each kind of thing. It is
// safe for concurrent use, and one for each token is best, since what it learns
// about the rate limit holds for all its callers. The official client stays
// within reach through [Client.Raw], with the same retries and the same pace.
//
// # Lists and pages
//
// All streams every row and makes as many requests as it takes. The loop ends
// after an error:
//
//	for listed, err := range client.Users.All(ctx) {
//		if err != nil {
//			return nil, err
//		}
//		user, err := client.Users.Get(ctx, listed.ID) // Lists leave permissions out.
//		…
//	}
//
// List makes exactly one request and returns a [Page]; its Next goes into the
// [ListOptions] of the next call. Both fail with [ErrBadResponse] rather than
// return a list that may be incomplete.
//
// Segment's lists of users and groups carry no permissions, so an audit of 1000
// users takes a Get for each of them; see [User] for how silence differs from
// none. Functions are listed one [FunctionType] at a time. Labels have no pages:
// [LabelService.List] returns them all.
//
// # Errors
//
// A failed operation is an [*Error]. Match it by status with [errors.Is] and
// one of the sentinels, such as [ErrUnauthorized] for a wrong token or region:
//
//	if errors.Is(err, segmentapi.ErrNotFound) {
//		fmt.Println("nobody has this id")
//	}
//
// [errors.As] gives its fields: the operation, the status, Segment's own words,
// the number of attempts. Arguments that cannot be used are [ErrInvalidArgument],
// before any request. The token is in no error.
//
// # Rate limits and retries
//
// The client reads the limit headers of every answer, spreads its requests when
// a window runs low, leaves a share of it to others on the same token
// ([WithLimits]), and after a refusal sends nothing until the time has come. A
// call that would have to wait longer than its [RetryPolicy] allows, 65 seconds
// by default, fails at once with a [*RateLimitError] that says how long:
//
//	var limited *segmentapi.RateLimitError
//	if errors.As(err, &limited) {
//		fmt.Println("try again in", limited.Wait.Round(time.Second)) // At limited.Reset.
//		return
//	}
//
// Server errors and broken connections are tried again where that is safe, up
// to 5 attempts in all; [WithRetry] lists what is and what is not.
// [Client.WithRetry] makes a client that is more or less patient, within the
// same limit. Every wait ends with the context.
//
// # Caching
//
// Roles alone are remembered: there are about twenty, they hardly ever change,
// and Segment can only list them all. [RoleService.Get] and [RoleService.Find]
// ask once in 10 minutes ([WithRoleCache]). Users, groups and permissions are
// read anew at each call, because an edit must not begin with what was true a
// while ago.
//
// # Changing permissions safely
//
// Segment can add permissions and replace all of them, but not take one away.
// A program that writes back a list which it has read may undo what somebody
// else has done meanwhile, or widen a permission by losing its labels. Here the
// unit of change is an [Assignment], one role on one [Scope]:
//
//	onStaging := segmentapi.Assignment{
//		RoleID: admin.ID,
//		Scope:  segmentapi.Scope{Type: segmentapi.ScopeSource, ID: staging},
//	}
//	change, err := client.Users.Revoke(ctx, kwame, onStaging)
//
// Every change reads first and writes only if something is to change, so it may
// be repeated; it reads back what it wrote and fails with [ErrNotApplied] if
// that is not what was asked. What else is held stays, labels included. Changes
// of one user or group by one client wait for each other. What remains is one
// round trip in which another program's edit can be lost, because Segment has no
// means to write under a condition: see [UserService.Revoke].
//
// The workspace keeps an owner ([ErrLastOwner]), and who loses the last
// permission gets Minimal Workspace Access in its place. [UserService.Edit] is for
// what Grant and Revoke cannot say. [WithDryRun] shows a change without making it,
// and [WithLogger] leaves a line for each that was made.
//
// # Secrets
//
// Segment sends write keys, settings and function code along with what they
// belong to. No type, error or log line of this package has them; answers got
// through [Client.Raw] do.
//
// # Testing your own code
//
// Package segmentapitest, beside this one, runs a simulated workspace inside a
// test. Code that takes a [*Client] can be tested without an account, a network
// or an interface made for the purpose.
package segmentapi
