package pgtest

import (
	"net"
	"net/url"
	"strconv"
	"strings"
)

// URL returns the address of the server's database for the superuser, with
// parameters such as "pool_max_conns=4". TLS is off unless they say otherwise.
func (s *Server) URL(parameters ...string) string { return s.DatabaseURL(Database, parameters...) }

// DatabaseURL is URL for another database of the server.
func (s *Server) DatabaseURL(name string, parameters ...string) string {
	return databaseURL(name, parameters, s.port)
}

// URL returns the address of several servers as one, of which a client takes the
// first that will do: "target_session_attrs=primary".
func URL(servers []*Server, parameters ...string) string {
	ports := make([]int, len(servers))
	for i, s := range servers {
		ports[i] = s.port
	}
	return databaseURL(Database, parameters, ports...)
}

func databaseURL(name string, parameters []string, ports ...int) string {
	query := url.Values{"sslmode": {"disable"}}
	for _, p := range parameters {
		key, value, _ := strings.Cut(p, "=")
		query.Set(key, value)
	}
	hosts := make([]string, len(ports))
	for i, port := range ports {
		hosts[i] = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	}
	u := url.URL{Scheme: "postgres", User: url.UserPassword(User, Password), Host: strings.Join(hosts, ","), Path: "/" + name, RawQuery: query.Encode()}
	return u.String()
}
