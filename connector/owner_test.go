package connector

import (
	"strings"
	"testing"

	"github.com/baton-segment/baton-segment/connector/internal/syncstate/statetest"
)

// A sync that an earlier version began, which did not note owners, is resumed without a
// verdict on them, whatever of it was read before. If this version has listed the users
// and groups, an owner who was not noted is missing.
func TestGrants_OwnersOfAnEarlierVersion(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lost  []string
		fails bool
	}{
		"all by the earlier version":    {lost: []string{"user/owner", "group/owner", "user/owners", "group/owners"}},
		"users by the earlier version":  {lost: []string{"user/owner", "group/owner", "user/owners"}},
		"groups by the earlier version": {lost: []string{"user/owner", "group/owner", "group/owners"}},
		"the lists by this version":     {lost: []string{"user/owner", "group/owner"}, fails: true},
		"all by this version":           {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, small())
			store := statetest.New()
			f.session = store
			rows := f.listEvery(t.Context(), t)
			f.readEntitlements(t.Context(), t, usersAndGroups(rows))
			for _, key := range c.lost {
				delete(store.Values, "list/"+key)
			}
			_, err := f.inAnotherProcess().grants(t.Context(), rows[typeUser][0])
			if c.fails != (err != nil) || c.fails && !strings.Contains(err.Error(), "does not see permissions") {
				t.Errorf("error %v, want one: %t", err, c.fails)
			}
		})
	}
}
