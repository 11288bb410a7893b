package access

import (
	"strings"
	"unicode"
)

// roleFamilies lists the roles that can be held on less than the whole
// workspace, by the first word of their names: Segment's list of roles does not
// say which they are. A new family is a new row. Roles of no family are for the
// whole workspace.
var roleFamilies = []struct {
	word      string // Lower case, singular.
	except    string // A name of the family must not contain this.
	on        string // The type of resource that the roles are held on.
	labelable bool   // Whether labels can restrict the roles as well.
}{
	{word: "source", on: TypeSource, labelable: true},
	{word: "function", on: TypeFunction},
	{word: "warehouse", on: TypeWarehouse},
	{word: "unify", except: "identity", on: TypeSpace, labelable: true},
	{word: "engage", except: "identity", on: TypeSpace, labelable: true},
	{word: "persona", except: "identity", on: TypeSpace, labelable: true},
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
		if words[0] != f.word && words[0] != f.word+"s" || f.except != "" && strings.Contains(name, f.except) {
			continue
		}
		return f.on == targetType || f.labelable && targetType == TypeLabel
	}
	return false
}
