package doctor

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/mail"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/baton-segment/baton-segment/segmentapi"
)

// GroupName precedes the date in the name of the group that a trial of writes makes.
const GroupName = "baton-segment doctor "

// Writes are what a run may try on a group of its own.
type Writes struct {
	// Slug is that of the workspace. The run refuses to write to another one.
	Slug string
	// TestAddress is the e-mail of a user or pending invite, who may be put into the group
	// while it gives nothing. Without it, nobody is.
	TestAddress string
	// Invite is an address that may be invited. Segment sends it an e-mail. The invite is
	// deleted again. Without it, nobody is invited.
	Invite string
	// NoAudit leaves the audit trail alone. Its events may take ten minutes.
	NoAudit bool
	// NewClient returns a client that may write.
	NewClient func(transport http.RoundTripper) (*segmentapi.Client, error)
	// Log reports to the user each thing that is made and deleted. It may name these.
	Log func(format string, args ...any)
}

// ErrOtherWorkspace is returned if the slug is not that of the workspace.
var ErrOtherWorkspace = errors.New("the token is of another workspace")

// ErrLeftBehind is returned if something that was made could not be deleted.
var ErrLeftBehind = errors.New("left behind in the workspace")

const (
	// cleanupTime is how long deleting what was made may take after an interruption.
	cleanupTime = time.Minute
	// visibleWithin is how long to wait until a read shows a write.
	visibleWithin = 30 * time.Second
	// pollInterval is the time between two reads that wait for a write, and removeInterval
	// that between two deletions of what may not be there yet.
	pollInterval   = 500 * time.Millisecond
	removeInterval = 5 * time.Second
)

// A trial tries writes.
type trial struct {
	Writes
	*workspace
	writer      *segmentapi.Client
	guard       *guard
	workspaceID string
	// name and group are the name and the id of the trial's own group.
	name, group string
	// shown is set once a read has shown the group.
	shown   bool
	minimal string // The id of the role.
	results []Check
	// left has an error for each thing that was made and could not be deleted.
	left []error
	// delays are how long it took until reads showed the writes. never is how many were not
	// shown.
	delays []time.Duration
	never  int
}

// tryWrites tries what can only be learned by writing, and deletes what it made, even if the
// context is done meanwhile. It returns each check that writes, reached or not, also with an
// error.
func (w *workspace) tryWrites(ctx context.Context, o Writes, base http.RoundTripper) ([]Check, error) {
	t := &trial{Writes: o, workspace: w}
	err := t.prepare(ctx, base)
	if err == nil {
		begun := time.Now()
		if err = t.create(ctx); err == nil {
			err = t.tryAll(ctx)
		}
		if err = t.cleanUp(ctx, err); err == nil && !o.NoAudit {
			t.readAudit(ctx, begun)
		}
	}
	return t.allChecks(ctx, err), err
}

// prepare makes sure that writing is safe. It writes nothing.
func (t *trial) prepare(ctx context.Context, base http.RoundTripper) error {
	ws, err := t.client.Workspace.Get(ctx)
	switch {
	case err != nil:
		return err
	case ws.Slug != t.Slug:
		return fmt.Errorf("%w: its slug is %q and not %q", ErrOtherWorkspace, ws.Slug, t.Slug)
	case t.failed["groups"] != nil:
		return fmt.Errorf("groups cannot be listed (%s), so no writes are tried", failureText(t.failed["groups"]))
	}
	t.workspaceID = ws.ID
	for _, g := range t.listedGroups {
		if strings.HasPrefix(g.Name, GroupName) {
			return fmt.Errorf("%w: group %q (%s) of an earlier run: %s", ErrLeftBehind, g.Name, g.ID, deleteGroupHint)
		}
	}
	if err = t.checkAddresses(ctx); err != nil {
		return err
	}
	t.guard = &guard{base: base, user: "doctor" + rand.Text(), address: "doctor-" + strings.ToLower(rand.Text()) + "@example.invalid", invite: t.Invite, member: t.TestAddress}
	if t.writer, err = t.NewClient(t.guard); err != nil {
		return err
	}
	at, err := url.Parse(t.baseURL())
	if err != nil {
		return err
	}
	t.guard.prefix = at.Path
	t.minimal = t.role(segmentapi.RoleMinimalWorkspaceAccess)
	return nil
}

// ErrAddress is returned for an address that must not be used.
var ErrAddress = errors.New("this address cannot be used")

// checkAddresses makes sure that nobody is removed who was there before, and that nobody gets
// an e-mail by mistake.
func (t *trial) checkAddresses(ctx context.Context) error {
	if t.TestAddress == "" && t.Invite == "" {
		return nil
	}
	known, err := t.people(ctx)
	if err != nil {
		return err
	}
	if t.Invite != "" {
		if parsed, err := mail.ParseAddress(t.Invite); err != nil || parsed.Address != t.Invite {
			return fmt.Errorf("%w: %q is not an e-mail address", ErrAddress, t.Invite)
		}
		if known[segmentapi.FoldEmail(t.Invite)] != "" {
			return fmt.Errorf("%w: %s is a user or invited already, and the invite is to be deleted again", ErrAddress, t.Invite)
		}
	}
	if t.TestAddress != "" {
		listed := known[segmentapi.FoldEmail(t.TestAddress)]
		if listed == "" {
			return fmt.Errorf("%w: %s is neither a user nor invited, so adding it would send an e-mail", ErrAddress, t.TestAddress)
		}
		t.TestAddress = listed // In another case, Segment might take it for somebody else.
	}
	return nil
}

// people returns the e-mails of all users and pending invites, as Segment shows them now, by
// their folded forms.
func (t *trial) people(ctx context.Context) (map[string]string, error) {
	known := map[string]string{}
	for u, err := range t.client.Users.All(ctx) {
		if err != nil {
			return nil, err
		}
		known[segmentapi.FoldEmail(u.Email)] = u.Email
	}
	for email, err := range t.client.Invites.All(ctx) {
		if err != nil {
			return nil, err
		}
		known[segmentapi.FoldEmail(email)] = email
	}
	return known, nil
}

// interrupted is what a check has seen that an interruption has prevented.
const interrupted = "not reached: the run was interrupted"

// allChecks returns the results, and for each check that was not reached, why.
func (t *trial) allChecks(ctx context.Context, err error) []Check {
	why := "not read: --no-audit" // Nothing else was left out.
	switch {
	case ctx.Err() != nil:
		why = interrupted
	case err != nil:
		why = "not reached: the trial of writes failed before"
	}
	all := t.results
	for _, c := range writeChecks() {
		if !slices.ContainsFunc(t.results, func(r Check) bool { return r.Name == c.Name }) {
			c.Seen = why
			all = append(all, c.decide(0, false))
		}
	}
	return all
}

// A guard is a transport that refuses every write but those to the group of the trial, and
// those that the trial may try on what does not exist.
type guard struct {
	base http.RoundTripper
	// prefix is the path of the base URL.
	prefix string
	// group is the id of the trial's group, or empty until it is made.
	group string
	// Nobody has this user id and this address.
	user, address  string
	invite, member string
	// invited is set once the invite was sent: before, it is not to be deleted.
	invited bool
}

var errGuarded = errors.New("the doctor does not send this")

// RoundTrip implements http.RoundTripper.
func (g *guard) RoundTrip(req *http.Request) (*http.Response, error) {
	if !g.allows(req) {
		return nil, fmt.Errorf("%s %s: %w", req.Method, req.URL.Path, errGuarded)
	}
	g.invited = g.invited || req.Method == http.MethodPost && strings.HasSuffix(req.URL.Path, "/invites")
	return g.base.RoundTrip(req)
}

func (g *guard) allows(req *http.Request) bool {
	path, inPrefix := strings.CutPrefix(req.URL.Path, g.prefix)
	q := req.URL.Query()
	only := func(key string, values ...string) bool {
		return len(q) == 1 && len(q[key]) == 1 && q.Get(key) != "" && slices.Contains(values, q.Get(key))
	}
	write, remove := req.Method == http.MethodPost || req.Method == http.MethodPut, req.Method == http.MethodDelete
	switch own := "/groups/" + g.group; {
	case !inPrefix:
		return false
	case req.Method == http.MethodGet:
		return true
	case path == "/groups":
		return req.Method == http.MethodPost && g.group == ""
	case path == "/users":
		return remove && only("userIds.0", g.user)
	case path == "/invites":
		return remove && (only("emails.0", g.address) || g.invited && only("emails.0", g.invite)) || req.Method == http.MethodPost && onlyTo(req, g.invite)
	case g.group == "":
		return false
	case path == own:
		return remove
	case path == own+"/permissions":
		return write
	case path == own+"/users", path == "/group/"+g.group+"/users":
		return remove && only("emails.0", g.address, g.member, swapCase(g.member)) || req.Method == http.MethodPost && onlyTo(req, g.member, swapCase(g.member))
	}
	return false
}

// onlyTo reports whether the body of a request names e-mails, and no others than these.
func onlyTo(req *http.Request, allowed ...string) bool {
	if req.GetBody == nil {
		return false
	}
	body, err := req.GetBody()
	if err != nil {
		return false
	}
	defer func() { _ = body.Close() }() // It is in memory.
	var in struct {
		Emails  []string `json:"emails"`
		Invites []struct {
			Email string `json:"email"`
		} `json:"invites"`
	}
	if json.NewDecoder(body).Decode(&in) != nil {
		return false
	}
	for _, invite := range in.Invites {
		in.Emails = append(in.Emails, invite.Email)
	}
	return len(in.Emails) > 0 && !slices.ContainsFunc(in.Emails, func(email string) bool { return email == "" || !slices.Contains(allowed, email) })
}

func (t *trial) baseURL() string { return t.writer.Raw().GetConfig().Servers[0].URL }

// send sends a request and returns the status and the body of the answer.
func (t *trial) send(ctx context.Context, method, path string, query url.Values, body any) (int, []byte, error) {
	config := t.writer.Raw().GetConfig()
	var content io.Reader = http.NoBody
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return 0, nil, err
		}
		content = bytes.NewReader(encoded)
	}
	address := t.baseURL() + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, address, content)
	if err != nil {
		return 0, nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := config.HTTPClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxObserved))
	return resp.StatusCode, answer, errors.Join(err, resp.Body.Close())
}

// uninterrupted returns a context that goes on when ctx is done, for as long as deleting what
// was made may take.
func uninterrupted(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
}

// refused reports whether Segment has refused a write, so that it has made nothing. After
// other failures it may have.
func refused(status int) bool {
	return status >= http.StatusBadRequest && status < http.StatusInternalServerError
}

// create makes the group. It is not interrupted, so that the id of the group is known.
func (t *trial) create(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	whole, cancel := uninterrupted(ctx)
	defer cancel()
	// Somebody else's group never has this name.
	t.name = GroupName + time.Now().UTC().Format("2006-01-02 15:04") + " " + rand.Text()[:8]
	t.Log("making group %q, which gives nobody anything", t.name)
	status, body, err := t.send(whole, http.MethodPost, "/groups", nil, map[string]string{"name": t.name})
	var answer struct {
		Data struct {
			UserGroup struct {
				ID string `json:"id"`
			} `json:"userGroup"`
		} `json:"data"`
	}
	if err == nil && status/100 == 2 {
		err = json.Unmarshal(body, &answer)
	}
	t.setGroup(answer.Data.UserGroup.ID)
	switch {
	case t.group != "" && err == nil:
		t.Log("made group %s", t.group)
		return nil
	case err == nil && refused(status):
		return fmt.Errorf("making the group was answered with %d", status)
	}
	err = fmt.Errorf("making the group was answered with %s and no id: %w", statusText(status), errors.Join(err, errNoGroup))
	looked, cancelLook := uninterrupted(ctx)
	defer cancelLook()
	if t.group == "" && !t.poll(looked, func() bool { return t.findGroup(looked) }) {
		t.left = append(t.left, fmt.Errorf("%w, if Segment has made it: group %q: %s", ErrLeftBehind, t.name, deleteGroupHint))
	}
	return err
}

func (t *trial) setGroup(id string) { t.group, t.guard.group = id, id }

const deleteGroupHint = "delete it in Segment under Access Management, User Groups"

var errNoGroup = errors.New("the group is not known")

// findGroup looks for the group by its name, and reports whether it is listed.
func (t *trial) findGroup(ctx context.Context) bool {
	for g, err := range t.client.Groups.All(ctx) {
		if err != nil {
			return false
		}
		if g.Name == t.name {
			t.setGroup(g.ID)
			return true
		}
	}
	return false
}

var errDeletedMeanwhile = errors.New("somebody else deleted the group of the doctor, so the answers mean nothing")

// cleanUp deletes the group. It returns what went wrong before, and what is left behind.
func (t *trial) cleanUp(ctx context.Context, err error) error {
	if ctx.Err() != nil && t.group != "" {
		t.Log("interrupted: deleting group %s. Another interruption leaves it behind", t.group)
	}
	cleanup, cancel := uninterrupted(ctx)
	defer cancel()
	if err == nil && t.deletedMeanwhile(cleanup) {
		t.results, err = nil, errDeletedMeanwhile
	}
	if deleteErr := t.deleteGroup(cleanup); deleteErr != nil {
		t.left = append(t.left, deleteErr)
	}
	left := errors.Join(t.left...)
	if left != nil && ctx.Err() != nil {
		return left // The caller knows of the interruption.
	}
	return errors.Join(err, left)
}

// deletedMeanwhile reports whether reads have shown the group and do not any more.
func (t *trial) deletedMeanwhile(ctx context.Context) bool {
	for range 2 {
		if _, err := t.client.Groups.Get(ctx, t.group); !t.shown || !errors.Is(err, segmentapi.ErrNotFound) {
			return false
		}
		pause(ctx, time.Second)
	}
	return true
}

// deleteGroup deletes the group and waits until it is not found any more.
func (t *trial) deleteGroup(ctx context.Context) error {
	if t.group == "" {
		return nil
	}
	status, err := t.remove(ctx, "/groups/"+t.group, nil, t.shown)
	gone := func() bool {
		_, readErr := t.client.Groups.Get(ctx, t.group)
		return errors.Is(readErr, segmentapi.ErrNotFound)
	}
	if err == nil && (status/100 == 2 || status == http.StatusNotFound) && t.poll(ctx, gone) {
		t.Log("deleted group %s", t.group)
		return nil
	}
	return fmt.Errorf("%w: group %q (%s): %s (%s)", ErrLeftBehind, t.name, t.group, deleteGroupHint, answerText("deleting it", status, err))
}

// answerText says how a request ended.
func answerText(what string, status int, err error) string {
	if err != nil {
		return what + ": " + err.Error()
	}
	return fmt.Sprintf("%s was answered with %s", what, statusText(status))
}

// remove deletes something that the trial has made. If reads have not shown it yet, it may
// not be there yet: then it is deleted again until it is found, or cannot be there any more.
func (t *trial) remove(ctx context.Context, path string, query url.Values, shown bool) (int, error) {
	for begun := time.Now(); ; pause(ctx, removeInterval) {
		status, _, err := t.send(ctx, http.MethodDelete, path, query, nil)
		if err != nil || status != http.StatusNotFound || shown || time.Since(begun) > visibleWithin {
			return status, err
		}
	}
}

// wait reads until something that was written shows, and notes how long it took.
func (t *trial) wait(ctx context.Context, shows func() bool) bool {
	begun := time.Now()
	if t.poll(ctx, shows) {
		t.delays = append(t.delays, time.Since(begun))
		return true
	}
	t.never++
	return false
}

// poll reads until something shows, for [visibleWithin] at most.
func (t *trial) poll(ctx context.Context, shows func() bool) bool {
	for begun := time.Now(); ; pause(ctx, pollInterval) {
		switch {
		case shows():
			return true
		case ctx.Err() != nil, time.Since(begun) > visibleWithin:
			return false
		}
	}
}

// pause waits, or until the context is done.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// readGroup returns what the group holds, or false if it cannot be read.
func (t *trial) readGroup(ctx context.Context) ([]segmentapi.Assignment, bool) {
	g, err := t.client.Groups.Get(ctx, t.group)
	if err != nil {
		return nil, false
	}
	t.shown = true
	return segmentapi.Assignments(g.Permissions), true
}

// slowest returns how long it took at most until reads showed a write.
func (t *trial) slowest() time.Duration { return slices.Max(append([]time.Duration{0}, t.delays...)) }

// settled returns what the group holds after a write, once reads are not late any more: after
// the longest delay so far, two reads must agree. It returns false if the group cannot be read
// like that.
func (t *trial) settled(ctx context.Context) ([]segmentapi.Assignment, bool) {
	pause(ctx, t.slowest()+time.Second)
	var held []segmentapi.Assignment
	read := false
	agree := t.poll(ctx, func() bool {
		now, ok := t.readGroup(ctx)
		same := read && ok && segmentapi.Compare(held, now).Empty()
		held, read = now, ok
		return same
	})
	return held, agree
}
