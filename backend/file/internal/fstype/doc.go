// Package fstype tells whether a directory is on a file system of this machine alone:
// there changes raise events, and mappings are the same for all.
package fstype
