package access

import (
	"slices"
	"strings"
	"unicode"
)

// roleFamilies lists the roles that can be held on less than the whole
// workspace, by the first word of their names: Segment's list of roles does not
// say which they are. A new family is a new row. Roles of no family are for the
// whole workspace.
var roleFamilies = []struct {
	words     []string // In lower case, singular and plural.
	except    string   // A name of the family must not contain this.
	on        string   // The type of resource that the roles are held on.
	labelable bool     // Whether labels can restrict the roles as well.
}{
	{words: []string{"source", "sources"}, on: TypeSource, labelable: true},
	{words: []string{"function", "functions"}, on: TypeFunction},
	{words: []string{"warehouse", "warehouses"}, on: TypeWarehouse},
	{words: []string{"unify"}, except: "identity", on: TypeSpace, labelable: true},
	{words: []string{"engage"}, except: "identity", on: TypeSpace, labelable: true},
	{words: []string{"persona", "personas"}, except: "identity", on: TypeSpace, labelable: true},
	// Segment documents no scope for them. Workspaces hold one on spaces; the roles that
	// labels can restrict are documented, and these are not among them.
	{words: []string{"entity", "entities"}, on: TypeSpace},
}

// Applies reports whether a role of this name is meant to be held on targets of
// a type. Every role applies to TypeRole, the whole workspace. For other types it
// is a guess by the first word of the name, since Segment does not say.
func Applies(roleName, targetType string) bool {
	if targetType == TypeRole {
		return true
	}
	name := strings.ToLower(roleName)
	words := strings.FieldsFunc(name, func(r rune) bool { return !unicode.IsLetter(r) })
	if len(words) == 0 {
		return false
	}
	for _, f := range roleFamilies {
		if !slices.Contains(f.words, words[0]) || f.except != "" && strings.Contains(name, f.except) {
			continue
		}
		return f.on == targetType || f.labelable && targetType == TypeLabel
	}
	return false
}
