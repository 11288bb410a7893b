package segmentapi_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/baton-segment/baton-segment/segmentapi"
)

// A modelEdit is an edit in both forms: of the model, and by the library.
type modelEdit struct {
	what  string
	apply func(lineSet) lineSet
	// changes reports whether the edit may change a line, whatever is held.
	changes func(line string) bool
	// adds are lines of each role that the edit may add.
	adds []string
	// turns is what the edit makes of a line in the place of which it gives another.
	turns func(line string) string
	// onlyAdds is set for a grant, which needs no replacement.
	onlyAdds bool
	do       func(context.Context, editor) (segmentapi.Difference, error)
}

// asked returns what is to be held after the edit, and false if that is impossible: the
// last permission is replaced, and its replacement stays.
func (m modelEdit) asked(before lineSet, addsMinimal bool) (lineSet, bool) {
	after := m.apply(maps.Clone(before))
	switch {
	case maps.Equal(after, before):
	case len(after) == 0 && len(before) == 1 && before[minimalLine]:
		return before, false
	case len(after) == 0 || addsMinimal && !slices.ContainsFunc(after.lines(), func(line string) bool { return roleOf(line) == minimal }):
		after[minimalLine] = true
	}
	return after, true
}

func drawGrant(t *rapid.T) modelEdit {
	lines := rapid.SliceOfN(rapid.Custom(drawLine), 1, 2).Draw(t, "lines")
	return modelEdit{
		what:     "grant " + strings.Join(lines, ", "),
		apply:    func(held lineSet) lineSet { return union(held, setOf(lines...)) },
		changes:  func(line string) bool { return slices.Contains(lines, line) },
		adds:     lines,
		onlyAdds: true,
		do: func(ctx context.Context, e editor) (segmentapi.Difference, error) {
			return e.grant(ctx, e.id, fromLines(lines...)...)
		},
	}
}

func drawRevoke(t *rapid.T, held lineSet) modelEdit {
	lines := []string{drawHeldLine(t, held)}
	if rapid.Bool().Draw(t, "two") {
		lines = append(lines, drawHeldLine(t, held))
	}
	changes := func(line string) bool { return slices.Contains(lines, line) }
	return modelEdit{
		what:    "revoke " + strings.Join(lines, ", "),
		apply:   func(held lineSet) lineSet { return held.without(changes) },
		changes: changes,
		do: func(ctx context.Context, e editor) (segmentapi.Difference, error) {
			return e.revoke(ctx, e.id, fromLines(lines...)...)
		},
	}
}

func drawReplace(t *rapid.T, held lineSet) modelEdit {
	var lines []string
	for range rapid.IntRange(1, 4).Draw(t, "lines") {
		lines = append(lines, drawHeldLine(t, held))
	}
	return modelEdit{
		what:    "replace by " + strings.Join(lines, ", "),
		apply:   func(lineSet) lineSet { return setOf(lines...) },
		changes: func(string) bool { return true },
		adds:    lines,
		do: func(ctx context.Context, e editor) (segmentapi.Difference, error) {
			return e.replace(ctx, e.id, segmentapi.Permissions(fromLines(lines...)))
		},
	}
}

// drawExchange draws an edit that gives one role in the place of another.
func drawExchange(t *rapid.T) modelEdit {
	roles := rapid.Permutation([]string{admin, reader, minimal}).Draw(t, "roles")
	exchanged := func(line string) string {
		if role, resource, _ := strings.Cut(line, " "); role == roles[0] {
			return roles[1] + " " + resource
		}
		return line
	}
	return modelEdit{
		what: fmt.Sprintf("%s instead of %s", roles[1], roles[0]),
		apply: func(held lineSet) lineSet {
			after := lineSet{}
			for line := range held {
				after[exchanged(line)] = true
			}
			return after
		},
		changes: func(line string) bool { return roleOf(line) != roles[2] },
		adds:    []string{roles[1] + " "},
		turns:   exchanged,
		do: func(ctx context.Context, e editor) (segmentapi.Difference, error) {
			return e.edit(ctx, e.id, func(held []segmentapi.Assignment) []segmentapi.Assignment {
				for i, a := range held {
					held[i] = fromLine(exchanged(lineOf(a)))
				}
				return held
			})
		},
	}
}

// drawRevokeRole draws an edit that revokes a role wherever it is held.
func drawRevokeRole(t *rapid.T) modelEdit {
	role := rapid.SampledFrom([]string{admin, reader, minimal}).Draw(t, "role")
	changes := func(line string) bool { return roleOf(line) == role }
	return modelEdit{
		what:    "revoke " + role,
		apply:   func(held lineSet) lineSet { return held.without(changes) },
		changes: changes,
		do: func(ctx context.Context, e editor) (segmentapi.Difference, error) {
			return e.edit(ctx, e.id, segmentapi.RevokeFunc(func(a segmentapi.Assignment) bool { return a.RoleID == role }))
		},
	}
}

func drawEdit(t *rapid.T, held lineSet) modelEdit {
	switch rapid.SampledFrom([]string{"grant", "grant", "grant", "revoke", "revoke", "revoke", "replace", "exchange", "revoke role"}).Draw(t, "edit") {
	case "grant":
		return drawGrant(t)
	case "revoke":
		return drawRevoke(t, held)
	case "replace":
		return drawReplace(t, held)
	case "exchange":
		return drawExchange(t)
	}
	return drawRevokeRole(t)
}
