package dlocktest_test

import (
	"testing"

	"github.com/dlock-go/dlock/dlocktest"
)

func TestMain(m *testing.M) { dlocktest.Main(m) }
