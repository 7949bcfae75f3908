package postgres

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/dlock-go/dlock/backend"
)

const password = "very secret"

func TestURL(t *testing.T) {
	for _, c := range []struct{ url, name string }{
		{"postgres://app:very%20secret@db.example/shop", "postgres://app@db.example:5432/shop"},
		{"postgresql://app@db.example:6000/shop?sslmode=disable&dlock_schema=locks", "postgres://app@db.example:6000/shop"},
		{"POSTGRES://app@db.example/shop?dlock_connections=3", "postgres://app@db.example:5432/shop"},
		{"postgres://app:very%20secret@one:6000,two:6001/shop?sslmode=prefer", "postgres://app@one:6000,two:6001/shop"},
		{"postgres://app@/shop?host=/run/postgresql&port=6000", "postgres://app@/shop?host=%2Frun%2Fpostgresql&port=6000"},
		{"postgres://app@[::1]/shop?password=very%20secret", "postgres://app@[::1]:5432/shop"},
	} {
		b, err := backend.FromURL(c.url)
		if err != nil {
			t.Errorf("%s: %v", c.url, err)
		} else if b.String() != c.name {
			t.Errorf("%s is called %s", c.url, b)
		}
	}
}

func TestParametersOfURL(t *testing.T) {
	theirs, options, err := split("postgres://a@one,two/shop?dlock_connections=3&sslmode=disable&dlock_locks=7&dlock_schema=my+locks&dlock_tokens=false&dlock_keys=dotnet&search_path=x")
	if err != nil {
		t.Fatal(err)
	}
	if want := "postgres://a@one,two/shop?sslmode=disable&search_path=x"; theirs != want {
		t.Errorf("pgx gets %s", theirs)
	}
	c := defaults()
	for _, option := range options {
		if err := option(&c); err != nil {
			t.Fatal(err)
		}
	}
	if c.connections != 3 || c.locks != 7 || c.schema != "my locks" || c.tokens || c.keys(backend.Mutex, "a") != DotNetKey("a") {
		t.Errorf("config: %+v", c)
	}
}

func TestBadURLIsAnErrorWithoutThePassword(t *testing.T) {
	for _, url := range []string{
		"postgres://app:very%20secret@db/shop?dlock_connections=1",
		"postgres://app:very%20secret@db/shop?dlock_connections=many",
		"postgres://app:very%20secret@db/shop?dlock_locks=0",
		"postgres://app:very%20secret@db/shop?dlock_schema=",
		"postgres://app:very%20secret@db/shop?dlock_tokens=perhaps",
		"postgres://app:very%20secret@db/shop?dlock_keys=numbers",
		"postgres://app:very%20secret@db/shop?dlock_color=red",
		"postgres://app:very%20secret@db/shop?dlock_schema=%zz",
		"postgres://app:very secret@db:port/shop",
		"postgres://app:very%20secret@db/shop?sslmode=maybe",
		"postgres://app@db/shop?password=very%20secret&sslmode=maybe",
	} {
		b, err := backend.FromURL(url)
		if err == nil {
			t.Errorf("%s is taken for %v", url, b)
		} else if text := err.Error(); strings.Contains(text, password) || strings.Contains(text, "very%20secret") || !strings.HasPrefix(text, "dlock: ") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestBadConfigIsAnError(t *testing.T) {
	if _, err := New(nil); err == nil {
		t.Error("a store of nothing")
	}
	if _, err := NewFromPool(nil); err == nil {
		t.Error("a store of no pool")
	}
	c, err := pgx.ParseConfig("postgres://app@db/shop")
	if err != nil {
		t.Fatal(err)
	}
	for _, option := range []Option{WithConnections(1), WithConnections(100_000), WithMaxLocks(0), WithSchema(""), WithSchema(strings.Repeat("x", 64)), WithKeys(nil)} {
		if _, err := New(c, option); err == nil || !strings.HasPrefix(err.Error(), "dlock: ") {
			t.Errorf("a bad option: %v", err)
		}
	}
	caps := func(options ...Option) backend.Caps {
		st, err := New(c, options...)
		if err != nil {
			t.Fatal(err)
		}
		return st.Caps()
	}
	want := backend.Caps{Queue: true, Notify: true, Fencing: true, Processes: true, Inspect: true}
	if got := caps(); got != want {
		t.Errorf("caps: %+v", got)
	}
	want.Fencing = false
	if got := caps(WithoutTokens()); got != want {
		t.Errorf("caps without tokens: %+v", got)
	}
}
