package postgres

import (
	"strings"
	"testing"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/internal/pgtest"
)

func TestTLSWithItsCertificateAlone(t *testing.T) {
	t.Parallel()
	config := quick()
	config.TLS = true
	r := rigOn(t, pgtest.New(t, config), pgtest.Database)
	ca := r.server.Certificate()
	c := r.client(r.url("sslmode=verify-full", "sslrootcert="+ca))
	h := r.acquire(c.Mutex("x"))
	if n := ask[int](r, r.watch, "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ssl AND application_name LIKE 'dlock %'"); n != len(r.backends()) || n == 0 {
		t.Errorf("%d connections of %d are encrypted", n, len(r.backends()))
	}
	// Waiting takes connections of its own.
	waiter := r.client(r.url("sslmode=verify-full", "sslrootcert="+ca))
	granted := r.acquiring(waiter.Mutex("x"))
	r.waiters(1)
	if n := ask[int](r, r.watch, "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE NOT ssl AND application_name LIKE 'dlock %'"); n != 0 {
		t.Errorf("%d connections are not encrypted", n)
	}
	r.must(h.Release(r.ctx))
	r.must(comes(r, "waiter's grant", granted).Release(r.ctx))

	stranger := pgtest.New(t, config).Certificate()
	for what, url := range map[string]string{
		"the certificate of another server": r.url("sslmode=verify-full", "sslrootcert="+stranger),
		"the system's certificates":         r.url("sslmode=verify-full"),
		"another name":                      strings.Replace(r.url("sslmode=verify-full", "sslrootcert="+ca), "127.0.0.1", "127.0.0.2", 1),
	} {
		c, err := dlock.Open(r.ctx, url)
		if err == nil {
			_ = c.Close(r.ctx)
			t.Errorf("%s is accepted", what)
			continue
		}
		if strings.Contains(err.Error(), pgtest.Password) {
			t.Errorf("%s: the error tells the password", what)
		}
		if !strings.Contains(err.Error(), "certificate") && what != "another name" {
			t.Errorf("%s: %v", what, err)
		}
	}
}
