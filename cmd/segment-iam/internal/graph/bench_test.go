package graph_test

import (
	"fmt"
	"testing"

	"github.com/baton-segment/baton-segment/cmd/segment-iam/internal/graph"
	"github.com/baton-segment/baton-segment/segmentapi/access"
)

const manyPaths = 36_000

// many returns [manyPaths] paths in several shapes, sorted by person. If a shape has no
// groups, the people hold the roles themselves.
func many() map[string][]access.Path {
	shapes := map[string]struct{ people, groups, roles, heldOn int }{
		"all differ":            {manyPaths, manyPaths, manyPaths, manyPaths},
		"all differ, no groups": {manyPaths, 0, manyPaths, manyPaths},
		"one person":            {1, 0, 20, manyPaths},
		"360 people":            {360, 101, 20, 997},
		"360 people, no groups": {360, 0, 20, 997},
		"one group":             {manyPaths, 1, 1, 1},
		"30 people":             {30, 29, 31, 37},
		"30 people, no groups":  {30, 0, 31, 37},
		"100 of each":           {100, 99, 101, 97},
	}
	all := make(map[string][]access.Path, len(shapes))
	for name, s := range shapes {
		paths := make([]access.Path, manyPaths)
		for i := range paths {
			person, role, heldOn := fmt.Sprintf("Person %d", i*s.people/manyPaths), fmt.Sprintf("Role %d", i%s.roles), fmt.Sprintf("Source %d", i%s.heldOn)
			paths[i] = access.Path{
				Person: access.Person{Type: access.TypeUser, ID: "id " + person, Name: person},
				Role:   access.RoleRef{ID: "id " + role, Name: role},
				HeldOn: access.Thing{Type: access.TypeSource, ID: "id " + heldOn, Name: heldOn},
				When:   access.Now,
			}
			if s.groups > 0 {
				group := fmt.Sprintf("Group %d", i%s.groups)
				paths[i].Group = &access.Thing{Type: access.TypeGroup, ID: "id " + group, Name: group}
			}
		}
		all[name] = paths
	}
	return all
}

func BenchmarkSVG(b *testing.B) {
	for name, paths := range many() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			size := 0
			for b.Loop() {
				size = len(graph.SVG(paths, graph.Options{ID: "g", Title: name}))
			}
			b.ReportMetric(float64(size), "bytes")
		})
	}
}
