package access

import (
	"strings"

	"github.com/baton-segment/baton-segment/segmentapi"
)

// snapshot puts together what was read.
//
// It contains listed users and invites only. A member of a group that the list of users
// does not have is dropped. An invite with the e-mail of a user is that user: Segment may
// list an invite for a while after it was accepted.
func (r *reading) snapshot() *Snapshot {
	s := &Snapshot{
		Workspace: r.workspace, Began: r.began, Roles: r.roles, Labels: r.labels, Skipped: r.skipped,
		Held: map[Ref][]Target{}, Unknown: map[string]int{},
	}
	users, invites := addresses{}, addresses{}
	ids := map[Ref]bool{}
	for _, u := range r.users {
		ref := Ref{TypeUser, u.ID}
		if r.gone[ref] || ids[ref] {
			continue
		}
		ids[ref] = true
		s.People = append(s.People, Person{Type: TypeUser, ID: u.ID, Email: u.Email, Name: u.Name})
		users.add(u.Email, ref)
	}
	for _, email := range r.invites {
		ref := Ref{TypeInvite, email}
		if _, joined := users.find(email); joined || ids[ref] {
			continue
		}
		ids[ref] = true
		s.People = append(s.People, Person{Type: TypeInvite, ID: email, Email: email})
		invites.add(email, ref)
	}
	r.addGroups(s, users, invites)
	r.addHeld(s)
	return s
}

// addresses has people by their e-mails, as they are written and folded. If two differ
// only in case, each is found by its own spelling.
type addresses map[string]Ref

// foldedKey precedes folded e-mails, since those may be spelled like another's.
const foldedKey = "\x00"

func (a addresses) add(email string, ref Ref) {
	if email != "" {
		a[email], a[foldedKey+segmentapi.FoldEmail(email)] = ref, ref
	}
}

func (a addresses) find(email string) (Ref, bool) {
	if ref, ok := a[email]; ok {
		return ref, true
	}
	ref, ok := a[foldedKey+segmentapi.FoldEmail(email)]
	return ref, ok
}

func (r *reading) addGroups(s *Snapshot, users, invites addresses) {
	known := map[Ref]bool{}
	for _, p := range s.People {
		known[p.Ref()] = true
	}
	for _, listed := range r.groups {
		g := Group{ID: listed.ID, Name: listed.Name}
		if r.gone[g.Ref()] {
			continue
		}
		for _, u := range r.members[g.ID].users {
			if ref := (Ref{TypeUser, u.ID}); known[ref] {
				g.Members = append(g.Members, ref)
			}
		}
		for _, email := range r.members[g.ID].pending {
			ref, joined := users.find(email)
			if !joined {
				ref, _ = invites.find(email)
			}
			if known[ref] {
				g.Members = append(g.Members, ref)
			}
		}
		s.Groups = append(s.Groups, g)
	}
}

// addHeld adds what users and groups hold, with the ids of lists, and the resources that
// no list has.
func (r *reading) addHeld(s *Snapshot) {
	listed := make(map[Ref]bool, len(r.resources))
	for _, res := range r.resources {
		if ref := (Ref{res.Type, res.ID}); !listed[ref] { // A list that changes while it is read may repeat a row.
			listed[ref] = true
			s.Resources = append(s.Resources, res)
		}
	}
	add := func(holder Ref, permissions []segmentapi.Permission) {
		if r.gone[holder] {
			return
		}
		targets, unknown := Targets(permissions)
		for kind, n := range unknown {
			s.Unknown[kind] += n
		}
		for _, t := range targets {
			if t.Type != TypeRole && t.Type != TypeLabel {
				t.ID = listedForm(listed, t)
				if ref := (Ref{t.Type, t.ID}); !listed[ref] {
					listed[ref] = true
					s.Resources = append(s.Resources, Resource{Type: t.Type, ID: t.ID, Unlisted: true})
				}
			}
			s.Held[holder] = append(s.Held[holder], t)
		}
	}
	for _, u := range r.users {
		add(Ref{TypeUser, u.ID}, u.Permissions)
	}
	for _, g := range r.groups {
		add(Ref{TypeGroup, g.ID}, g.Permissions)
	}
}

// listedForm returns the id of a target's resource as its list has it.
func listedForm(listed map[Ref]bool, t Target) string {
	for _, id := range IDForms(t.Type, t.ID) {
		if listed[Ref{t.Type, id}] {
			return id
		}
	}
	return UnlistedID(t.Type, t.ID)
}

// hasOwner reports whether a user or a group, with members or not, is a Workspace Owner.
// It is true if the workspace has no such role.
func (s *Snapshot) hasOwner() bool {
	x := s.Index()
	exists := false
	for _, name := range x.roles {
		exists = exists || strings.TrimSpace(name) == segmentapi.RoleWorkspaceOwner
	}
	for _, held := range s.Held {
		for _, t := range held {
			if t.Type == TypeRole && x.isOwner(t) {
				return true
			}
		}
	}
	return !exists
}
