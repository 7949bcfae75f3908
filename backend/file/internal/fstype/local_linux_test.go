package fstype

import "testing"

// What other machines, or the host of a virtual one, change unnoticed.
func TestRemote(t *testing.T) {
	for name, kind := range map[string]uint32{
		"NFS": 0x6969, "SMB2": 0xfe534d42, "FUSE": 0x65735546, "9P": 0x01021997, "Ceph": 0x00c36400, "Lustre": 0x0bd00bd0,
		"vboxsf": 0x786f4256, "vmhgfs": 0xbacbacbc, "BeeGFS": 0x19830326, "OrangeFS": 0x20030528, "PanFS": 0xaad7aaea,
	} {
		if !isRemote(kind) {
			t.Errorf("%s counts as local", name)
		}
	}
	for name, kind := range map[string]uint32{
		"ext4": 0xef53, "XFS": 0x58465342, "Btrfs": 0x9123683e, "tmpfs": 0x01021994, "overlay": 0x794c7630, "ZFS": 0x2fc12fc1,
	} {
		if isRemote(kind) {
			t.Errorf("%s counts as remote", name)
		}
	}
}
