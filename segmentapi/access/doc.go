// Package access holds the meaning of Segment's IAM: which kind of resource a
// role is for, what each scope of a permission gives access to, how a set of
// labels is named, and which two forms the id of a space has.
//
// Everything here is a pure function of values of package segmentapi. Segment
// documents the types of scopes and their labels. It does not document which
// role is for which type; [Applies] decides that by the role's name.
package access
