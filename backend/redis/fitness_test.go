package redis

import (
	"errors"
	"strings"
	"testing"

	"github.com/dlock-go/dlock/backend"
)

// TestOldServersAreRefused looks at what servers of other versions say.
func TestOldServersAreRefused(t *testing.T) {
	for version, fit := range map[string]bool{"5.0.14": false, "6.0.16": false, "6.2.0": true, "7.0.15": true, "10.0.0": true, "": true, "unstable": true} {
		err := fitNode(map[string]string{"run_id": "x", "role": "master", "redis_version": version})
		switch {
		case fit && err != nil:
			t.Errorf("%q: %v", version, err)
		case !fit && (!errors.Is(err, backend.ErrUnsupported) || !strings.Contains(err.Error(), version)):
			t.Errorf("%q: %v, want ErrUnsupported with the version", version, err)
		}
	}
}
