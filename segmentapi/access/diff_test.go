package access

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Each change of what a person holds, of how, and of who is in the workspace is reported.
func TestDiff(t *testing.T) {
	t.Parallel()
	ann, bob := Person{Type: TypeUser, ID: "ann"}, Person{Type: TypeUser, ID: "bob"}
	invite := Person{Type: TypeInvite, ID: "ann"}
	admin := Target{Type: TypeSource, ID: "ios", RoleID: "admin"}
	group := func(id string, members ...Person) Group {
		g := Group{ID: id}
		for _, m := range members {
			g.Members = append(g.Members, m.Ref())
		}
		return g
	}
	held := func(holders ...Ref) map[Ref][]Target {
		in := map[Ref][]Target{}
		for _, h := range holders {
			in[h] = []Target{admin}
		}
		return in
	}
	for name, tt := range map[string]struct {
		before, after Snapshot
		want          []string
	}{
		"nothing": {Snapshot{People: []Person{ann}, Held: held(ann.Ref())}, Snapshot{People: []Person{ann}, Held: held(ann.Ref())}, nil},
		"a membership in a group that holds nothing": {
			Snapshot{People: []Person{ann}, Groups: []Group{group("g")}},
			Snapshot{People: []Person{ann}, Groups: []Group{group("g", ann)}},
			[]string{"+user:ann member on group:g now"},
		},
		"another group": {
			Snapshot{People: []Person{ann}, Groups: []Group{group("g", ann), group("h", ann)}, Held: held(group("g").Ref())},
			Snapshot{People: []Person{ann}, Groups: []Group{group("g", ann), group("h", ann)}, Held: held(group("h").Ref())},
			[]string{"+user:ann admin on source:ios via h now", "-user:ann admin on source:ios via g now"},
		},
		"through a group instead of directly": {
			Snapshot{People: []Person{ann}, Groups: []Group{group("g", ann)}, Held: held(ann.Ref())},
			Snapshot{People: []Person{ann}, Groups: []Group{group("g", ann)}, Held: held(group("g").Ref())},
			[]string{"+user:ann admin on source:ios via g now", "-user:ann admin on source:ios now"},
		},
		"another resource": {
			Snapshot{People: []Person{ann}, Held: held(ann.Ref())},
			Snapshot{People: []Person{ann}, Held: map[Ref][]Target{ann.Ref(): {{Type: TypeSource, ID: "web", RoleID: "admin"}}}},
			[]string{"+user:ann admin on source:web now", "-user:ann admin on source:ios now"},
		},
		"the same id of another type": {
			Snapshot{People: []Person{ann}, Held: held(ann.Ref())},
			Snapshot{People: []Person{ann}, Held: map[Ref][]Target{ann.Ref(): {{Type: TypeFunction, ID: "ios", RoleID: "admin"}}}},
			[]string{"+user:ann admin on function:ios now", "-user:ann admin on source:ios now"},
		},
		"somebody leaves": {
			Snapshot{People: []Person{ann, bob}, Held: held(ann.Ref(), bob.Ref())}, Snapshot{People: []Person{bob}, Held: held(bob.Ref())},
			[]string{"-user:ann admin on source:ios now", "went user:ann"},
		},
		"an invite is accepted": {
			Snapshot{People: []Person{invite}, Groups: []Group{group("g", invite)}, Held: held(group("g").Ref())},
			Snapshot{People: []Person{ann}, Groups: []Group{group("g", ann)}, Held: held(group("g").Ref())},
			[]string{
				"+user:ann admin on source:ios via g now", "+user:ann member on group:g now",
				"-invite:ann admin on source:ios via g accepted", "-invite:ann member on group:g accepted",
				"came user:ann", "went invite:ann",
			},
		},
		"a new name": {
			Snapshot{People: []Person{{Type: TypeUser, ID: "ann", Name: "Ann"}}}, Snapshot{People: []Person{{Type: TypeUser, ID: "ann", Name: "Anne"}}}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := Diff(&tt.before, &tt.after)
			var got []string
			for sign, paths := range map[string][]Path{"+": c.Gained, "-": c.Lost} {
				for _, p := range paths {
					text := fmt.Sprintf("%s%s:%s %s on %s:%s", sign, p.Person.Type, p.Person.ID, p.Role.ID, p.HeldOn.Type, p.HeldOn.ID)
					if p.Group != nil {
						text += " via " + p.Group.ID
					}
					got = append(got, text+" "+string(p.When))
				}
			}
			for verb, people := range map[string][]Person{"came": c.People.Came, "went": c.People.Went} {
				for _, p := range people {
					got = append(got, verb+" "+p.Type+":"+p.ID)
				}
			}
			slices.Sort(got)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
