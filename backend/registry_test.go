package backend_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/dlock-go/dlock/backend"
)

func TestFromURL(t *testing.T) {
	boom := errors.New("boom")
	var got string
	backend.Register("testing", func(rawURL string) (backend.Backend, error) {
		got = rawURL
		return nil, boom
	})
	for _, url := range []string{"testing:", "testing://user:secret@a:1,b:2/x", "TESTING:y"} {
		if _, err := backend.FromURL(url); !errors.Is(err, boom) || got != url {
			t.Errorf("%s: opener got %q, error %v", url, got, err)
		}
	}
	for _, url := range []string{"", "nothing", "user:secret@host", "unheard://user:secret@host/x"} {
		_, err := backend.FromURL(url)
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: error %v", url, err)
		}
		if err != nil && !strings.Contains(err.Error(), "testing") {
			t.Errorf("%q: the error does not tell which schemes there are: %v", url, err)
		}
	}
	for name, register := range map[string]func(){
		"twice":  func() { backend.Register("testing", func(string) (backend.Backend, error) { return nil, nil }) },
		"no one": func() { backend.Register("nil", nil) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			register()
		}()
	}
}
