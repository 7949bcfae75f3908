package postgres

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/dlock-go/dlock/backend"
)

func init() {
	backend.Register("postgres", openURL)
	backend.Register("postgresql", openURL)
}

// ours is what the names of our own parameters begin with.
const ours = "dlock_"

func openURL(rawURL string) (backend.Backend, error) {
	if !strings.Contains(rawURL, "://") {
		// pgx would take it for something else, and repeat it with its password.
		return nil, errors.New("dlock: a postgres URL begins like postgres://host/database")
	}
	if _, rest, _ := strings.Cut(rawURL, "://"); strayAt(rest) {
		// pgx would take a part of the password for a host, and repeat that.
		return nil, errors.New("dlock: in the user and the password of a postgres URL, @ and / are written %40 and %2F")
	}
	theirs, options, err := split(rawURL)
	if err != nil {
		return nil, err
	}
	c, err := pgx.ParseConfig(theirs)
	if err != nil {
		return nil, fmt.Errorf("dlock: %w", err) // pgx leaves the password out.
	}
	st, err := New(c, options...)
	if err != nil {
		return nil, err
	}
	return st, nil
}

// strayAt reports whether an @ or a / stands before the @ that ends user and
// password, or seems to.
func strayAt(rest string) bool {
	base, _, _ := strings.Cut(rest, "?")
	at := strings.LastIndexByte(base, '@')
	return at >= 0 && strings.ContainsAny(base[:at], "@/")
}

// split takes our own parameters out of a URL. It looks at nothing else of it:
// pgx understands URLs that net/url does not, those of several hosts.
func split(rawURL string) (theirs string, options []Option, err error) {
	scheme, rest, _ := strings.Cut(rawURL, ":")
	rawURL = strings.ToLower(scheme) + ":" + rest
	base, query, found := strings.Cut(rawURL, "?")
	if !found {
		return rawURL, nil, nil
	}
	var left []string
	for parameter := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(parameter, "=")
		if !strings.HasPrefix(name, ours) {
			left = append(left, parameter)
			continue
		}
		value, err := url.QueryUnescape(value)
		if err != nil {
			return "", nil, fmt.Errorf("dlock: malformed parameter %s of the URL", name)
		}
		option, err := parameterOption(strings.TrimPrefix(name, ours), value)
		if err != nil {
			return "", nil, fmt.Errorf("dlock: parameter %s=%q of the URL: %w", name, value, err)
		}
		options = append(options, option)
	}
	if len(left) == 0 {
		return base, options, nil
	}
	return base + "?" + strings.Join(left, "&"), options, nil
}

// parameterOption returns what a parameter of the URL stands for.
func parameterOption(name, value string) (Option, error) {
	switch name {
	case "connections", "locks":
		n, err := strconv.Atoi(value)
		if err != nil {
			return nil, errors.New("it is not a number")
		}
		if name == "locks" {
			return WithMaxLocks(n), nil
		}
		return WithConnections(n), nil
	case "schema":
		return WithSchema(value), nil
	case "tokens":
		tokens, err := strconv.ParseBool(value)
		if err != nil {
			return nil, errors.New("it is neither true nor false")
		}
		return func(c *config) error { c.tokens = tokens; return nil }, nil
	case "keys":
		switch value {
		case "names":
			return func(c *config) error { c.keys = nameKey; return nil }, nil
		case "dotnet":
			return WithKeys(DotNetKey), nil
		}
		return nil, errors.New("it is neither names nor dotnet")
	}
	return nil, errors.New("there is none of that name")
}

// storeName returns the URL of a database, without password and parameters.
func storeName(c *pgx.ConnConfig) string {
	u := url.URL{Scheme: "postgres", Path: "/" + c.Database}
	if c.User != "" {
		u.User = url.User(c.User)
	}
	hosts := []string{hostPort(c.Host, c.Port)}
	for _, f := range c.Fallbacks {
		// With sslmode=prefer a host stands there twice in a row.
		if h := hostPort(f.Host, f.Port); h != hosts[len(hosts)-1] {
			hosts = append(hosts, h)
		}
	}
	host := strings.Join(hosts, ",")
	if !strings.Contains(host, "/") {
		u.Host = host
		return u.String()
	}
	u.RawQuery = "host=" + url.QueryEscape(c.Host) + "&port=" + strconv.Itoa(int(c.Port)) // a socket
	return u.String()
}

func hostPort(host string, port uint16) string {
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}
