package access

import "strings"

// spacePrefix begins the ids of spaces in permissions, and in some lists.
const spacePrefix = "spa_"

// IDForms returns the ids that a resource may be listed under, the given one
// first. A space has two, because Segment writes its id with and without the
// prefix "spa_"; everything else has one.
func IDForms(targetType, id string) []string {
	bare, prefixed := strings.CutPrefix(id, spacePrefix)
	switch {
	case targetType != TypeSpace:
		return []string{id}
	case prefixed:
		return []string{id, bare}
	}
	return []string{id, spacePrefix + id}
}

// UnlistedID returns the one id to use for a resource that no list returned. A
// space then has its prefix, as in permissions.
func UnlistedID(targetType, id string) string {
	if targetType == TypeSpace {
		return spacePrefix + strings.TrimPrefix(id, spacePrefix)
	}
	return id
}
