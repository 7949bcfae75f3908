//go:build netbsd || openbsd

package file

// onLocalDisk cannot tell, and chooses what is right everywhere.
func onLocalDisk(string) bool { return false }
