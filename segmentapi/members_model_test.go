package segmentapi_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// modelPeople are the ids of the people of this model test. Each can be a user, an invite, a
// member of the group, or nothing.
var modelPeople = []string{"u", "v", "w", "x"}

// peopleIn returns the state of this model: lines such as "user v", "invite w" and "member
// w".
func peopleIn(ws *sim.Workspace) lineSet {
	set := lineSet{}
	for _, u := range ws.Users {
		if slices.Contains(modelPeople, u.ID) {
			set["user "+u.ID] = true
		}
	}
	person := func(email string) string { return strings.ToLower(strings.TrimSuffix(email, "@example.com")) }
	for _, i := range ws.Invites {
		set["invite "+person(i.Email)] = true
	}
	for _, email := range ws.Groups[0].Members {
		set["member "+person(email)] = true
	}
	return set
}

// A peopleEdit is an operation in both forms: of the model, and by the library.
type peopleEdit struct {
	what string
	// people are whom it concerns.
	people []string
	apply  func(lineSet)
	// refused is set if it is refused where it has nothing to work on.
	refused func(lineSet) bool
	writes  string
	do      func(context.Context, *segmentapi.Client) error
}

func drawPeopleEdit(t *rapid.T) peopleEdit {
	people := rapid.SliceOfNDistinct(rapid.SampledFrom(modelPeople), 1, 2, rapid.ID[string]).Draw(t, "people")
	emails := make([]string, len(people))
	for i, p := range people {
		emails[i] = p + "@example.com"
	}
	p, email := people[0], emails[0]
	isNobody := func(held lineSet) bool {
		return slices.ContainsFunc(people, func(p string) bool { return !held["user "+p] && !held["invite "+p] && !held["member "+p] })
	}
	switch rapid.SampledFrom([]string{"add", "add", "take out", "remove", "invite", "withdraw"}).Draw(t, "operation") {
	case "add":
		return peopleEdit{what: fmt.Sprint("add ", people), people: people, writes: "addUsersToUserGroup", refused: isNobody, apply: func(held lineSet) {
			for _, p := range people {
				held["member "+p] = true
			}
		}, do: func(ctx context.Context, c *segmentapi.Client) error {
			_, err := c.Groups.AddMembers(ctx, "g", emails...)
			return err
		}}
	case "take out":
		return peopleEdit{what: fmt.Sprint("take out ", people), people: people, writes: "removeUsersFromUserGroup", apply: func(held lineSet) {
			for _, p := range people {
				delete(held, "member "+p)
			}
		}, do: func(ctx context.Context, c *segmentapi.Client) error {
			_, err := c.Groups.RemoveMembers(ctx, "g", emails...)
			return err
		}}
	case "remove":
		return peopleEdit{what: "remove " + p, people: people[:1], writes: "deleteUsers", apply: func(held lineSet) {
			if held["user "+p] {
				delete(held, "user "+p)
				delete(held, "member "+p)
			}
		}, do: func(ctx context.Context, c *segmentapi.Client) error {
			_, err := c.Users.Remove(ctx, p)
			return err
		}}
	case "invite":
		return peopleEdit{what: "invite " + p, people: people[:1], writes: "createInvites", apply: func(held lineSet) {
			if !held["user "+p] {
				held["invite "+p] = true
			}
		}, do: func(ctx context.Context, c *segmentapi.Client) error {
			_, err := c.Invites.Create(ctx, segmentapi.Invitation{Email: strings.ToUpper(email[:1]) + email[1:], Permissions: onSourceA()})
			return err
		}}
	}
	return peopleEdit{what: "withdraw " + p, people: people[:1], writes: "deleteInvites", apply: func(held lineSet) {
		if held["invite "+p] {
			delete(held, "invite "+p)
			delete(held, "member "+p)
		}
	}, do: func(ctx context.Context, c *segmentapi.Client) error {
		_, err := c.Invites.Delete(ctx, email)
		return err
	}}
}

// changePeople is what another administrator or an invited person does.
func changePeople(what, p string) func(*sim.Workspace) {
	email := p + "@example.com"
	return func(ws *sim.Workspace) {
		isUser := slices.ContainsFunc(ws.Users, func(u sim.User) bool { return u.ID == p })
		isInvite := func(i sim.Invite) bool { return strings.EqualFold(i.Email, email) }
		isMember := func(other string) bool { return strings.EqualFold(other, email) }
		members := &ws.Groups[0].Members
		switch {
		case what == "accepts":
			ws.Accept(email, p)
		case what == "is added" && (isUser || slices.ContainsFunc(ws.Invites, isInvite)) && !slices.ContainsFunc(*members, isMember):
			*members = append(*members, email)
		case what == "is taken out":
			*members = slices.DeleteFunc(*members, isMember)
		case what == "is invited" && !isUser && !slices.ContainsFunc(ws.Invites, isInvite):
			ws.Invites = append(ws.Invites, sim.Invite{Email: email})
		}
	}
}

// Two clients of one process and one of another change who is in a group, in the workspace
// and invited, and so do other people, on servers of every kind. The workspace always
// agrees with the model.
func TestMembers_KeepToTheModel(t *testing.T) {
	t.Parallel()
	onServerKinds(t, func(t *rapid.T, kind serverKind, count func(string)) {
		ws := testWorkspace(on(minimal, wholeWorkspace))
		ws.Users = append(ws.Users, sim.User{ID: "v", Email: "v@example.com", Permissions: []sim.Permission{on(reader, "SOURCE a")}})
		ws.Invites = []sim.Invite{{Email: "w@example.com"}}
		s := kind.draw(t, ws)
		m := &model{map[string]lineSet{"all": peopleIn(ws)}, map[string]map[string]modelChange{"all": {}}}
		for range rapid.IntRange(1, 10).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"edit", "edit", "edit", "edit", "others", "wait"}).Draw(t, "step") {
			case "edit":
				changePeopleOnce(t, s, m, count)
			case "others":
				what, p := rapid.SampledFrom([]string{"accepts", "is added", "is taken out", "is invited"}).Draw(t, "what"), rapid.SampledFrom(modelPeople).Draw(t, "who")
				s.Update(changePeople(what, p))
				now := peopleIn(s.Workspace())
				m.adopt("all", now, now, nil, byHand)
				t.Log(p, what)
			case "wait":
				<-time.After(rapid.SampledFrom([]time.Duration{time.Second, 4 * time.Second, 20 * time.Second, 70 * time.Second}).Draw(t, "wait"))
			}
		}
	})
}

// changePeopleOnce makes one operation.
func changePeopleOnce(t *rapid.T, s *modelServer, m *model, count func(string)) {
	count("steps")
	client := rapid.SampledFrom(s.clients).Draw(t, "client")
	edit := drawPeopleEdit(t)
	s.ClearFaults()
	faulty := s.drawFaults(t, edit.writes)
	before := m.held["all"]
	recent := m.changedByOthers("all", client.process, time.Now().Add(-s.lag))
	requests := len(s.Journal())
	err := edit.do(t.Context(), client.Client)
	sent := s.Journal()[requests:]
	t.Logf("client of %s: %s: %v", client.process, edit.what, err)
	asked := maps.Clone(before)
	edit.apply(asked)
	isRefused := edit.refused != nil && edit.refused(before)
	if isRefused {
		asked = before
	}
	got := peopleIn(s.Workspace())
	concerned := differing(before, asked)
	isOpen := func(line string) bool { // It concerns a person of whom reads may show an older state.
		_, p, _ := strings.Cut(line, " ")
		return slices.Contains(edit.people, p) && slices.ContainsFunc(slices.Collect(maps.Keys(recent)), func(r string) bool {
			_, other, _ := strings.Cut(r, " ")
			return other == p || isRefused && slices.Contains(edit.people, other)
		})
	}
	v := verdict{before: before, asked: asked, open: isOpen}
	v.sure = !faulty && !s.isTooOld() && !isRefused && len(recent) == 0
	wrong := v.judge(got, err)
	if strings.HasPrefix(edit.what, "take out") && err != nil && !v.sure { // One request for each of them.
		other := differing(got, asked)
		wrong = differing(got, before).without(func(line string) bool { return !other[line] }).lines()
	}
	if len(wrong) > 0 {
		t.Fatalf("after %s (%v) and %v:\nheld  %q\nasked %q\ngot   %q\n%s", edit.what, err, simtest.Operations(sent), before.lines(), asked.lines(), got.lines(), strings.Join(wrong, "\n"))
	}
	if writes := simtest.Writes(sent); len(concerned) == 0 && len(recent) == 0 && !isRefused && len(writes) > 0 {
		t.Fatalf("%s needed no write, there were %v", edit.what, writes)
	}
	if err != nil {
		count("errors")
	}
	m.adopt("all", got, asked, recent, client.process)
	if slices.ContainsFunc(sent, func(r sim.Request) bool { return r.Status == http.StatusTooManyRequests }) {
		<-time.After(90 * time.Second)
	}
	if s.isTooOld() {
		pause(s.lag)
	}
}
