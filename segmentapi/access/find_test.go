package access

import (
	"strings"
	"testing"

	"github.com/baton-segment/baton-segment/segmentapi"
)

// An id comes before an e-mail, an e-mail before a slug, a slug before a name.
func TestFind(t *testing.T) {
	t.Parallel()
	set := []segmentapi.Label{{Key: "env", Value: "prod"}, {Key: "team", Value: "a,b"}}
	s := &Snapshot{
		People: []Person{{Type: TypeUser, ID: "u1", Email: "Ann@example.com", Name: "Ann"}, {Type: TypeUser, ID: "u2", Name: "ann@example.com"}},
		Groups: []Group{{ID: "ios", Name: "Web"}, {ID: "g2", Name: "web"}},
		Resources: []Resource{
			{Type: TypeSource, ID: "s1", Name: "Shop", Slug: "web"}, {Type: TypeSpace, ID: "abc", Name: "Marketing"}, {Type: TypeSpace, ID: "spa_def"},
		},
		Roles:  []segmentapi.Role{{ID: "r1", Name: "Source Admin"}},
		Labels: []segmentapi.Label{{Key: "env", Value: "prod"}},
		Held: map[Ref][]Target{
			{TypeUser, "u1"}: {{Type: TypeLabel, ID: LabelID(set), RoleID: "r2", RoleName: "Unlisted", Labels: set}},
		},
	}
	all := []string{TypeUser, TypeGroup, TypeSource, TypeSpace, TypeRole, TypeLabel}
	for text, want := range map[string]string{
		"u1": "user:u1", "ANN@EXAMPLE.COM": "user:u1", "ann": "user:u1", "ios": "group:ios", "WEB": "source:s1", "source admin": "role:r1",
		"abc": "space:abc", "spa_abc": "space:abc", "def": "space:spa_def", "spa_def": "space:spa_def",
		"unlisted": "role:r2", "r2": "role:r2", "env=prod": "label:env=prod", "env=prod and team=a,b": "label:env=prod,team=a%2Cb", "env=prod,team=a%2Cb": "label:env=prod,team=a%2Cb",
		"team=a,b": "", "": "", "spa_u1": "",
	} {
		var got []string
		for _, m := range s.Find(text, all...) {
			got = append(got, m.Type+":"+m.ID)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q means %q, want %q", text, got, want)
		}
	}
	if got := s.Find("web", TypeGroup); len(got) != 2 {
		t.Errorf("of groups alone, %q means %v, want both", "web", got)
	}
}
