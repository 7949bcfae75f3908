package file

// Unlink removes a file that is in use.
var Unlink = unlink

// Remote makes a store behave as on a network file system: it polls and does not
// map its clock.
func Remote(s *Store) *Store {
	s.isLocal = func() bool { return false }
	return s
}
