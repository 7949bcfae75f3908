package redistest

// Windows has no Redis server of its own; this is so that the package builds.

func (p *process) terminate() { p.cmd.Process.Kill() }
func (p *process) stop()      {}
func (p *process) proceed()   {}
