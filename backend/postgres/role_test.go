package postgres

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/internal/pgtest"
)

// app returns the address of the server for a role without privileges.
func (r *fixture) app(parameters ...string) string {
	r.Helper()
	r.exec(r.watch, "CREATE ROLE "+r.role+" LOGIN PASSWORD '"+pgtest.Password+"'")
	return strings.Replace(r.url(parameters...), "//"+pgtest.User+":", "//"+r.role+":", 1)
}

// refused checks that a client cannot be opened, and returns why.
func (r *fixture) refused(url string, options ...dlock.Option) error {
	r.Helper()
	c, err := dlock.Open(r.ctx, url, options...)
	if err == nil {
		_ = c.Close(r.ctx)
		r.Fatal("a client is open that should not be")
	}
	if strings.Contains(err.Error(), pgtest.Password) {
		r.Fatal("the error tells the password")
	}
	return err
}

func TestRoleWithoutRightToCreateTheSequence(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	url := r.app()
	err := r.refused(url)
	// What the error says has to be done is what helps.
	text := err.Error()
	if !strings.Contains(text, "WithoutTokens") {
		t.Error(err)
	}
	first, last := strings.Index(text, "CREATE SCHEMA"), strings.LastIndex(text, " (or ")
	if first < 0 || last < first {
		t.Fatal(err)
	}
	without := r.client(url + "&dlock_tokens=false")
	h := r.acquire(without.Mutex("x"))
	if token, ok := h.Token(); ok {
		t.Errorf("without tokens there is the token %d", token)
	}

	r.exec(r.watch, text[first:last])
	c := r.client(url)
	r.available(c.Mutex("x"), false)
	r.must(h.Release(r.ctx))
	h = r.acquire(c.Mutex("x"))
	if _, ok := h.Token(); !ok {
		t.Error("no token")
	}
	r.must(h.Release(r.ctx))
}

func TestRoleWithoutRightToUseTheSequence(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	r.client(r.url()) // The superuser makes it.
	url := r.app()
	err := r.refused(url)
	text := err.Error()
	first, last := strings.Index(text, "GRANT USAGE"), strings.LastIndex(text, " (or ")
	if first < 0 || last < first {
		t.Fatal(err)
	}
	r.exec(r.watch, text[first:last])
	c := r.client(url)
	r.must(r.acquire(c.Mutex("x")).Release(r.ctx))
}

func TestRoleWithSettingsInTheWay(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	url := r.app("dlock_tokens=false")
	for setting, value := range map[string]string{
		"statement_timeout":                   "'100ms'",
		"lock_timeout":                        "'100ms'",
		"idle_session_timeout":                "'1s'",
		"idle_in_transaction_session_timeout": "'100ms'",
		"default_transaction_isolation":       "'serializable'",
		"default_transaction_read_only":       "on",
		"search_path":                         "nowhere",
		"client_min_messages":                 "debug5",
		"client_encoding":                     "latin1",
		"standard_conforming_strings":         "off",
		"DateStyle":                           "german",
		"application_name":                    "'not ours'",
	} {
		r.exec(r.watch, fmt.Sprintf("ALTER ROLE %s SET %s = %s", r.role, setting, value))
	}
	a, b := r.client(url), r.client(url)
	h := r.acquire(a.Mutex("x"))
	read := r.acquire(reader{a.RWMutex("x")})
	ticket := r.acquire(a.Semaphore("x", 1))
	var waiting []<-chan *dlock.Hold
	for _, l := range []acquirer{b.Mutex("x"), b.RWMutex("x"), b.Semaphore("x", 1)} {
		waiting = append(waiting, r.acquiring(l))
	}
	r.waiters(2) // That for the semaphore has the gate.
	// None of the time-outs is as long.
	time.Sleep(3 * time.Second)
	r.waiters(2)
	for _, h := range []*dlock.Hold{h, read, ticket} {
		r.must(h.Err())
	}
	for i, h := range []*dlock.Hold{h, read, ticket} {
		if len(waiting[i]) > 0 {
			t.Fatal("two hold one lock, or one waiter has failed")
		}
		r.must(h.Release(r.ctx))
		r.must(comes(r, "grant", waiting[i]).Release(r.ctx))
	}
}

func TestServerFullOfConnections(t *testing.T) {
	t.Parallel()
	const most = 12
	r := newServer(t, "max_connections", fmt.Sprint(most), "superuser_reserved_connections", "0")
	a, b := r.client(r.url()), r.client(r.url())
	h := r.acquire(a.Mutex("x"))
	var others []*pgx.Conn
	for {
		conn, err := pgx.Connect(r.ctx, r.url())
		if err != nil {
			if sqlState(err) != "53300" {
				t.Fatal(err)
			}
			break
		}
		t.Cleanup(func() { _ = conn.Close(r.ctx) })
		others = append(others, conn)
	}
	if err := r.refused(r.url()); sqlState(err) != "53300" {
		t.Error(err)
	}
	// b has no connection to wait on, and has to get the lock all the same.
	granted := r.acquiring(b.Mutex("x"))
	select {
	case <-granted:
		t.Fatal("two hold one lock")
	case <-time.After(500 * time.Millisecond):
	}
	r.must(h.Err())
	r.must(h.Release(r.ctx))
	h = comes(r, "grant of a waiter without a connection", granted)
	r.must(h.Release(r.ctx))
	for _, conn := range others {
		r.must(conn.Close(r.ctx))
	}
	r.client(r.url())
}

func TestStandbyIsRefused(t *testing.T) {
	t.Parallel()
	r := newServer(t)
	standby := pgtest.NewStandby(t, r.server, quick())
	for _, url := range []string{standby.URL(), standby.URL("target_session_attrs=any"), standby.URL("target_session_attrs=standby")} {
		if err := r.refused(url); !strings.Contains(err.Error(), "standby") && !strings.Contains(err.Error(), "primary") {
			t.Error(err)
		}
	}
}

func TestWrongPasswordIsToldWithoutIt(t *testing.T) {
	t.Parallel()
	config := quick()
	config.Trust = false
	r := rigOn(t, pgtest.New(t, config), pgtest.Database)
	const wrong = "a-guess"
	err := r.refused(strings.Replace(r.url(), pgtest.Password, wrong, 1))
	if sqlState(err) != "28P01" || strings.Contains(err.Error(), wrong) {
		t.Error(err)
	}
	if err := r.refused(strings.Replace(r.url(), "?", "?password="+wrong+"&", 1)); strings.Contains(err.Error(), wrong) {
		t.Error(err)
	}
	var e *dlock.Error
	if errors.As(err, &e) && strings.Contains(e.Backend, wrong) {
		t.Error(e.Backend)
	}
}
