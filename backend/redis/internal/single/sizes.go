package single

// Sizes returns how much the session keeps, by what it is: for tests of sessions that
// live long.
func (s *session) Sizes() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	size := map[string]int{
		"claims": len(s.claims), "events": s.mail.Size(), "results": cap(s.results), "leases": cap(s.leases),
		"connections": s.wire.Size(),
	}
	for _, b := range s.shards {
		if b != nil {
			size["shards"]++
			size["requests"] += cap(b.requests)
			size["arguments"] += cap(b.args)
			size["listed"] += b.held.Len() + b.queued.Len()
			size["counted"] += b.claims
		}
	}
	return size
}
