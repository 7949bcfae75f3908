package postgres

import (
	"strings"
	"testing"

	"github.com/dlock-go/dlock/backend"
)

// What is not escaped in a password is refused, and not repeated.
func TestPasswordThatIsNotEscaped(t *testing.T) {
	for _, url := range []string{"postgres://u:SEC@RET@h/d", "postgres://u:SEC/RET@h/d", "postgres://u:1/SECRET@h"} {
		_, err := backend.FromURL(url)
		if err == nil {
			t.Errorf("%s is taken", url)
		} else if strings.Contains(err.Error(), "SEC") || strings.Contains(err.Error(), "RET") {
			t.Errorf("%s: %v", url, err)
		}
	}
	if _, err := backend.FromURL("postgres://u:S%40%2F@h/d?application_name=a@b"); err != nil {
		t.Error(err)
	}
}
