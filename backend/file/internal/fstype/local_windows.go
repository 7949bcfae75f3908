package fstype

import (
	"path/filepath"

	"golang.org/x/sys/windows"
)

// Local reports whether dir is on a drive of this machine alone.
func Local(dir string) bool {
	root, err := windows.UTF16PtrFromString(filepath.VolumeName(dir) + `\`)
	return err == nil && windows.GetDriveType(root) != windows.DRIVE_REMOTE
}
