package file

import (
	"path/filepath"

	"golang.org/x/sys/windows"
)

// onLocalDisk reports whether dir is on a drive of this machine alone.
func onLocalDisk(dir string) bool {
	root, err := windows.UTF16PtrFromString(filepath.VolumeName(dir) + `\`)
	return err == nil && windows.GetDriveType(root) != windows.DRIVE_REMOTE
}
