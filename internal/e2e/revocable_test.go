package e2e

import (
	"path/filepath"
	"testing"

	"github.com/baton-segment/baton-segment/internal/sim"
)

// A grant that no list foretold is found in the file by its id, with all that
// a revocation needs to reach the connector. What the connector then says is
// not what this test is about.
func TestRevokePathFindsWhatNoListForetold(t *testing.T) {
	t.Parallel()
	s := serve(t, sim.Hostile())
	file := syncFile(t, s)
	const notFound = 5
	for name, c := range map[string]struct {
		grant string
		found bool
	}{
		"label set":                           {"label:environment=prod,team=growth:1WDUuSF1kN1xis2lp09RVKOsnnL:user:user-label-sets", true},
		"label that is gone":                  {"label:gone=gone:1WDUuSF1kN1xis2lp09RVKOsnnL:user:user-label-odd", true},
		"role on a type it is not meant for":  {"source:source-plain:1WDUuSmhpuFwR0dtYcgzeiGnmDr:user:user-wrong-type", true},
		"role that is not listed":             {"role:role-unlisted:assigned:group:group-shares", true},
		"role that is not listed on a source": {"source:source-plain:role-unlisted:user:user-unlisted-role", true},
		"source that is gone":                 {"source:source-deleted:1WDUuSF1kN1xis2lp09RVKOsnnL:user:user-deleted", true},
		"warehouse that is gone":              {"warehouse:warehouse-deleted:1WDUuY68jLTuIRC6DzqM6zKnkSf:group:group-shares", true},
		"grant that never was":                {"source:source-plain:1WDUuSmhpuFwR0dtYcgzeiGnmDr:user:user-owner", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := runIn(t, t.TempDir(), s.env(), filepath.Join(programs, "baton-segment"), "-f", file, "--revoke-grant", c.grant)
			if found := r.code != notFound; found != c.found {
				t.Errorf("%s: exit code %d\n%s", c.grant, r.code, r.stderr)
			}
		})
	}
}
