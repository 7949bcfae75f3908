package redis

import _ "embed"

//go:embed batch.lua
var batchSource string

//go:embed session.lua
var sessionSource string

//go:embed inspect.lua
var inspectSource string

// The scripts, which servers know by their digests once they have seen them.
var (
	batchScript   = newScript(batchSource)
	sessionScript = newScript(rightsLibrary + sessionSource)
	inspectScript = newScript(inspectSource)
)

// formatNumber is the number of the format. In a cluster it stands in each bucket, so that
// the script that makes a session known there can look at it.
const formatNumber = 1
