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
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/baton-segment/baton-segment/segmentapi"
	"github.com/baton-segment/baton-segment/segmentapi/access"
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
	// pollInterval is the time between two reads that wait for a write.
	pollInterval = 500 * time.Millisecond
)

// A trial tries writes.
type trial struct {
	Writes
	*workspace
	writer  *segmentapi.Client
	guard   *guard
	group   string // The id.
	minimal string // The id of the role.
	results []Check
	// delays are how long it took until reads showed the writes. never is how many were not
	// shown.
	delays []time.Duration
	never  int
}

// tryWrites tries what can only be learned by writing, and deletes what it made, even if the
// context is done meanwhile.
func (w *workspace) tryWrites(ctx context.Context, o Writes, base http.RoundTripper) ([]Check, error) {
	ws, err := w.client.Workspace.Get(ctx)
	if err != nil {
		return nil, err
	}
	if ws.Slug != o.Slug {
		return nil, fmt.Errorf("%w: its slug is %q and not %q", ErrOtherWorkspace, ws.Slug, o.Slug)
	}
	for _, g := range w.listedGroups {
		if strings.HasPrefix(g.Name, GroupName) {
			return nil, fmt.Errorf("%w: group %q (%s) of an earlier run: delete it in Segment under Access Management", ErrLeftBehind, g.Name, g.ID)
		}
	}
	if err = w.checkAddresses(o); err != nil {
		return nil, err
	}
	guarded := &guard{base: base, user: "doctor" + rand.Text(), address: "doctor-" + strings.ToLower(rand.Text()) + "@example.invalid", invite: o.Invite, member: o.TestAddress}
	t := &trial{Writes: o, workspace: w, guard: guarded}
	if t.writer, err = o.NewClient(guarded); err != nil {
		return nil, err
	}
	for _, r := range w.roles {
		if strings.TrimSpace(r.Name) == access.MinimalRole {
			t.minimal = r.ID
		}
	}
	begun := time.Now()
	err = t.create(ctx)
	if err == nil {
		err = t.tryAll(ctx)
	}
	cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
	defer cancel()
	if err = errors.Join(err, t.deleteGroup(cleanup)); err == nil && !o.NoAudit {
		t.readAudit(ctx, begun)
	}
	return t.results, err
}

// ErrAddress is returned for an address that must not be used.
var ErrAddress = errors.New("this address cannot be used")

// checkAddresses makes sure that nobody is removed who was there before, and that nobody gets
// an e-mail by mistake.
func (w *workspace) checkAddresses(o Writes) error {
	known := map[string]bool{}
	for _, u := range w.users {
		known[segmentapi.FoldEmail(u.Email)] = true
	}
	for _, email := range w.invites {
		known[segmentapi.FoldEmail(email)] = true
	}
	switch {
	case o.Invite != "" && known[segmentapi.FoldEmail(o.Invite)]:
		return fmt.Errorf("%w: %s is a user or invited already, and the invite is to be deleted again", ErrAddress, o.Invite)
	case o.TestAddress != "" && !known[segmentapi.FoldEmail(o.TestAddress)]:
		return fmt.Errorf("%w: %s is neither a user nor invited, so adding it would send an e-mail", ErrAddress, o.TestAddress)
	}
	return nil
}

// A guard is a transport that refuses every write but those to the group of the trial, and
// those that the trial may try on what does not exist.
type guard struct {
	base                          http.RoundTripper
	group                         string
	user, address, invite, member string
}

var errGuarded = errors.New("the doctor does not send this")

// RoundTrip implements http.RoundTripper.
func (g *guard) RoundTrip(req *http.Request) (*http.Response, error) {
	if !g.allows(req) {
		return nil, fmt.Errorf("%s %s: %w", req.Method, req.URL.Path, errGuarded)
	}
	return g.base.RoundTrip(req)
}

func (g *guard) allows(req *http.Request) bool {
	path := req.URL.Path
	if i := strings.LastIndex(path, "/group"); i >= 0 {
		path = path[i:]
	}
	q := req.URL.Query()
	only := func(key string, values ...string) bool {
		return len(q) == 1 && slices.Contains(values, q.Get(key)) && q.Get(key) != ""
	}
	switch {
	case req.Method == http.MethodGet:
		return true
	case path == "/groups":
		return req.Method == http.MethodPost && g.group == ""
	case g.group != "" && (path == "/group/"+g.group+"/users" || path == "/groups/"+g.group+"/users"):
		return req.Method == http.MethodPost && g.member != "" || req.Method == http.MethodDelete && only("emails.0", g.address, g.member, swapCase(g.member))
	case g.group != "" && path == "/groups/"+g.group:
		return req.Method == http.MethodDelete
	case g.group != "" && path == "/groups/"+g.group+"/permissions":
		return req.Method == http.MethodPost || req.Method == http.MethodPut
	case strings.HasSuffix(path, "/users"):
		return req.Method == http.MethodDelete && only("userIds.0", g.user)
	case strings.HasSuffix(path, "/invites"):
		return req.Method == http.MethodDelete && only("emails.0", g.address, g.invite) || req.Method == http.MethodPost && g.invite != ""
	}
	return false
}

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
	address := config.Servers[0].URL + path
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

// create makes the group. It is not interrupted, so that the id of the group is known.
func (t *trial) create(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	whole, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
	defer cancel()
	name := GroupName + time.Now().UTC().Format("2006-01-02 15:04")
	status, body, err := t.send(whole, http.MethodPost, "/groups", nil, map[string]string{"name": name})
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
	id := answer.Data.UserGroup.ID
	if id == "" { // The answer may have been lost.
		id = t.findGroup(whole, name)
	}
	t.group, t.guard.group = id, id
	if id == "" || err != nil {
		return fmt.Errorf("making the group %q: status %s: %w", name, statusText(status), errors.Join(err, errNoGroup))
	}
	t.Log("made group %q (%s), which gives nobody anything", name, id)
	return nil
}

var errNoGroup = errors.New("the answer names no group")

// findGroup returns the id of a group by its name, or nothing.
func (t *trial) findGroup(ctx context.Context, name string) string {
	for g, err := range t.client.Groups.All(ctx) {
		if err != nil {
			return ""
		}
		if g.Name == name {
			return g.ID
		}
	}
	return ""
}

// deleteGroup deletes the group and waits until it is not found any more.
func (t *trial) deleteGroup(ctx context.Context) error {
	if t.group == "" {
		return nil
	}
	status, _, err := t.send(ctx, http.MethodDelete, "/groups/"+t.group, nil, nil)
	gone := func() bool {
		_, readErr := t.client.Groups.Get(ctx, t.group)
		return errors.Is(readErr, segmentapi.ErrNotFound)
	}
	if err == nil && (status/100 == 2 || status == http.StatusNotFound) && t.wait(ctx, gone) {
		t.Log("deleted group %s", t.group)
		return nil
	}
	return fmt.Errorf("%w: group %s (%s...): delete it in Segment under Access Management, User Groups (deleting it was answered with %s, %w)",
		ErrLeftBehind, t.group, GroupName, statusText(status), errors.Join(err, ctx.Err()))
}

// wait reads until something shows, and notes how long it took.
func (t *trial) wait(ctx context.Context, shows func() bool) bool {
	begun := time.Now()
	for {
		if shows() {
			t.delays = append(t.delays, time.Since(begun))
			return true
		}
		if time.Since(begun) > visibleWithin {
			t.never++
			return false
		}
		timer := time.NewTimer(pollInterval)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return false
		}
	}
}

// held returns what the group holds, or nil if it cannot be read.
func (t *trial) heldByGroup(ctx context.Context) []segmentapi.Permission {
	g, err := t.client.Groups.Get(ctx, t.group)
	if err != nil {
		return nil
	}
	return g.Permissions
}
