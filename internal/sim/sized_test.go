package sim

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestSized_HasTheSize(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		count := func(name string) int { return rapid.IntRange(0, 40).Draw(r, name) }
		z := Size{
			Users: count("users"), Groups: count("groups"), Sources: count("sources"), Warehouses: count("warehouses"),
			Functions: count("functions"), Spaces: count("spaces"), Invites: count("invites"), Labels: count("labels"),
			MembersPerGroup: count("members"),
			Seed:            rapid.Uint64().Draw(r, "seed"),
		}
		w := Sized(z)
		equal(r, "the same size again", w, Sized(z))
		got := Size{
			Users: len(w.Users), Groups: len(w.Groups), Sources: len(w.Sources), Warehouses: len(w.Warehouses),
			Functions: len(w.Functions), Spaces: len(w.Spaces), Invites: len(w.Invites), Labels: len(w.Labels),
			MembersPerGroup: z.MembersPerGroup,
			Seed:            z.Seed,
		}
		equal(r, "size", z, got)
		for _, g := range w.Groups {
			equal(r, "members of "+g.Name, min(z.MembersPerGroup, z.Users+z.Invites), len(g.Members))
		}
		checkState(r, w)
		for _, u := range w.Users {
			for _, p := range u.Permissions {
				keys := map[string]bool{}
				for _, l := range p.Resources[0].Labels {
					keys[l.Key] = true
				}
				equal(r, "keys in a set of labels", len(p.Resources[0].Labels), len(keys))
			}
		}
		// Named returns the same workspace.
		named, err := Named(fmt.Sprintf("sized:users=%d,groups=%d,sources=%d,warehouses=%d,functions=%d,spaces=%d,invites=%d,labels=%d,memberspergroup=%d,seed=%d",
			z.Users, z.Groups, z.Sources, z.Warehouses, z.Functions, z.Spaces, z.Invites, z.Labels, z.MembersPerGroup, z.Seed))
		if err != nil {
			r.Fatalf("%v", err)
		}
		equal(r, "named", w, named)
	})
}

// kinds returns the kinds of scopes in permissions, and "deleted" if one is on a
// resource that the workspace lacks.
func kinds(w *Workspace, permissions [][]Permission) map[string]bool {
	c := &call{version: &version{state: w}}
	found := map[string]bool{}
	for _, p := range slices.Concat(permissions...) {
		for _, r := range p.Resources {
			switch {
			case len(r.Labels) > 1:
				found["label set"] = true
			case len(r.Labels) == 1:
				found["label"] = true
			default:
				found[r.Type] = true
			}
			if !c.exists(r) {
				found["deleted"] = true
			}
		}
	}
	return found
}

func TestSized_HasEveryKindOfScope(t *testing.T) {
	t.Parallel()
	all := map[string]bool{
		typeWorkspace: true, typeSource: true, typeFunction: true, typeSpace: true, "label": true, "label set": true,
	}
	small := Sized(Size{Users: 8, Groups: 8, Sources: 3, Functions: 5, Spaces: 2, Labels: 4})
	for subject, permissions := range map[string][][]Permission{
		"users":  mapSlice(small.Users, func(u User) []Permission { return u.Permissions }),
		"groups": mapSlice(small.Groups, func(g Group) []Permission { return g.Permissions }),
	} {
		got := kinds(small, permissions)
		delete(got, "deleted")
		equal(t, subject, all, got)
	}
	all["deleted"] = true
	large := Sized(Size{Users: 1000, Sources: 30, Functions: 10, Spaces: 5, Labels: 6})
	equal(t, "large", all, kinds(large, mapSlice(large.Users, func(u User) []Permission { return u.Permissions })))
}

func TestSized_SeedSelectsPermissionsAndMembers(t *testing.T) {
	t.Parallel()
	z := Size{Users: 50, Groups: 5, Sources: 20, MembersPerGroup: 5, Labels: 4}
	first := Sized(z)
	z.Seed = 1
	other := Sized(z)
	ids := func(w *Workspace) []string { return mapSlice(w.Users, func(u User) string { return u.ID }) }
	equal(t, "ids", ids(first), ids(other))
	if toJSON(t, first.Users) == toJSON(t, other.Users) || toJSON(t, first.Groups) == toJSON(t, other.Groups) {
		t.Error("another seed gives the same permissions or members")
	}
}

func TestParseSize(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Size{
		"":                                  {MembersPerGroup: 10},
		"users=1000":                        {Users: 1000, MembersPerGroup: 10},
		"users=1,seed=18446744073709551615": {Users: 1, MembersPerGroup: 10, Seed: 1<<64 - 1},
		"memberspergroup=0,labels=2":        {Labels: 2},
	} {
		got, err := ParseSize(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		}
		equal(t, text, want, got)
	}
	for text, says := range map[string]string{
		"user=3":           `"user"`,
		"Users=3":          `"Users"`,
		"users=3,":         `""`,
		"users":            "users",
		"groups=-1":        "groups",
		"users=1e3":        "users",
		"seed=-1":          "seed",
		"seed":             "seed",
		"users=1,users=2":  "twice",
		"users=1, spaces=": `" spaces"`,
	} {
		_, err := ParseSize(text)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: error is %v, want one with %s", text, err, says)
		}
	}
}

// largeSize is larger than most workspaces.
func largeSize() Size {
	return Size{
		Users: 100_000, Groups: 2_000, Sources: 10_000, Warehouses: 100, Functions: 1_000, Spaces: 100,
		Invites: 1_000, Labels: 100, MembersPerGroup: 50,
	}
}

func BenchmarkSized(b *testing.B) {
	for b.Loop() {
		Sized(largeSize())
	}
}

// BenchmarkServe shows that a read takes no longer in a larger workspace.
func BenchmarkServe(b *testing.B) {
	small := Size{Users: 100, Groups: 20, Sources: 100, Warehouses: 10, Functions: 10, Spaces: 10, Labels: 10, MembersPerGroup: 50}
	for name, z := range map[string]Size{"small": small, "large": largeSize()} {
		w := Sized(z)
		s := New(w)
		user, group := w.Users[len(w.Users)-1], w.Groups[len(w.Groups)-1]
		for _, target := range []string{
			"/users/" + user.ID,
			"/users/" + user.ID + "/groups",
			"/groups/" + group.ID,
			"/groups/" + group.ID + "/users",
			"/sources/" + w.Sources[len(w.Sources)-1].ID,
			"/users?pagination.count=10",
			"/functions?resourceType=SOURCE&pagination.count=2",
		} {
			r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, "https://api.segment.test"+target, nil)
			if err != nil {
				b.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+s.Token())
			b.Run(name+strings.NewReplacer(user.ID, "id", group.ID, "id").Replace(target), func(b *testing.B) {
				s.ResetJournal()
				for b.Loop() {
					resp, err := s.RoundTripper().RoundTrip(r)
					if err != nil {
						b.Fatal(err)
					}
					if resp.StatusCode != http.StatusOK {
						b.Fatalf("status %d", resp.StatusCode)
					}
				}
			})
		}
	}
}
