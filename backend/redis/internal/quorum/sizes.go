package quorum

// Sizes returns how much the session keeps, by what it is: for tests of sessions that
// live long.
func (s *session) Sizes() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	size := map[string]int{
		"bids": len(s.acquisitions), "slots": len(s.slots), "footings": len(s.footings), "alarms": len(s.alarms.queue),
		"events": cap(s.events), "deciding": len(s.deciding), "results": cap(s.batch.results),
	}
	for _, l := range s.replicas {
		size["connections"] += l.wire.Size()
		size["asks"] += len(l.queue) + len(l.sent) + len(l.owed)
		size["room for asks"] += cap(l.queue) + cap(l.sent)
		size["arguments"] += cap(l.args)
	}
	return size
}
